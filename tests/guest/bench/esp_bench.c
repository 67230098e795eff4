// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a host can do to the driver that the virtual board does not do: an SPI
 * controller that fails, one that cannot transfer enough, GPIO lines that can
 * only be read in a context that may sleep, and a shutdown that takes its time
 * after the driver's own. For tests.
 */

#include <linux/delay.h>
#include <linux/gpio/consumer.h>
#include <linux/gpio/driver.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/spi/spi.h>

#define BENCH_MAX_TRANSFER	1024
#define BENCH_SHUTDOWN_MS	1000

/* SPI transfers of the driver that fail instead of taking place */
static atomic_t bench_spi_errors = ATOMIC_INIT(0);

static int bench_set_errors(const char *text, const struct kernel_param *kp)
{
	unsigned int count;
	int err;

	err = kstrtouint(text, 0, &count);
	if (!err)
		atomic_set(&bench_spi_errors, count);

	return err;
}

static int bench_get_errors(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&bench_spi_errors));
}

static const struct kernel_param_ops bench_errors_ops = {
	.set = bench_set_errors,
	.get = bench_get_errors,
};
module_param_cb(spi_errors, &bench_errors_ops, NULL, 0600);
MODULE_PARM_DESC(spi_errors, "so many of the next SPI transfers fail");

enum {
	BENCH_TRANSFER = 1,
	BENCH_MESSAGE,
	BENCH_HALF_DUPLEX,
	BENCH_MODE,
};

static unsigned int unfit;
module_param(unfit, uint, 0400);
MODULE_PARM_DESC(unfit,
		 "add a device where it cannot work: 1 short transfers, 2 short messages, 3 half duplex, 4 wrong mode");

/* SPI transfers that the driver asked for */
static atomic_t bench_spi_transfers = ATOMIC_INIT(0);

/* Return to the caller with an error, without having run the function. */
static int bench_spi_sync(struct kprobe *probe, struct pt_regs *regs)
{
	struct spi_device *spi = (void *)regs_get_kernel_argument(regs, 0);

	if (!spi->dev.driver || strcmp(spi->dev.driver->name, "esp_hosted"))
		return 0;
	atomic_inc(&bench_spi_transfers);
	if (atomic_dec_if_positive(&bench_spi_errors) < 0)
		return 0;
	regs_set_return_value(regs, -EIO);
	instruction_pointer_set(regs, procedure_link_pointer(regs));

	return 1;
}

static struct kprobe bench_probe = {
	.symbol_name = "spi_sync",
	.pre_handler = bench_spi_sync,
};

/* As of some USB bridges */
static size_t bench_max_size(struct spi_device *spi)
{
	return BENCH_MAX_TRANSFER;
}

static int bench_transfer(struct spi_controller *host, struct spi_message *msg)
{
	msg->status = -EIO;
	spi_finalize_current_message(host);

	return 0;
}

static struct platform_device *bench_parent;
static struct spi_controller *bench_host;

static int bench_add_unfit(void)
{
	struct spi_board_info info = {
		.modalias = "esp-hosted",
		.max_speed_hz = 10000000,
		.mode = unfit == BENCH_MODE ? SPI_MODE_3 : SPI_MODE_2,
	};
	int err;

	bench_parent = platform_device_register_simple("esp-bench", -1, NULL, 0);
	if (IS_ERR(bench_parent))
		return PTR_ERR(bench_parent);
	bench_host = __spi_alloc_controller(&bench_parent->dev, 0, false);
	if (!bench_host) {
		err = -ENOMEM;
		goto unregister;
	}
	bench_host->bus_num = -1;
	bench_host->num_chipselect = 1;
	bench_host->mode_bits = SPI_CPOL | SPI_CPHA;
	if (unfit == BENCH_TRANSFER)
		bench_host->max_transfer_size = bench_max_size;
	else if (unfit == BENCH_MESSAGE)
		bench_host->max_message_size = bench_max_size;
	else if (unfit == BENCH_HALF_DUPLEX)
		bench_host->flags = SPI_CONTROLLER_HALF_DUPLEX;
	bench_host->transfer_one_message = bench_transfer;
	err = spi_register_controller(bench_host);
	if (err) {
		spi_controller_put(bench_host);
		goto unregister;
	}
	if (spi_new_device(bench_host, &info))
		return 0;

	err = -ENODEV;
	spi_unregister_controller(bench_host);
unregister:
	platform_device_unregister(bench_parent);

	return err;
}

/* Lines of another chip, behind something slow */
static int bench_gpio_get(struct gpio_chip *chip, unsigned int offset)
{
	struct gpio_descs *lines = gpiochip_get_data(chip);

	usleep_range(20, 50);

	return gpiod_get_value_cansleep(lines->desc[offset]);
}

static int bench_gpio_direction(struct gpio_chip *chip, unsigned int offset)
{
	return GPIO_LINE_DIRECTION_IN;
}

static int bench_gpio_input(struct gpio_chip *chip, unsigned int offset)
{
	return 0;
}

static int bench_gpio_to_irq(struct gpio_chip *chip, unsigned int offset)
{
	struct gpio_descs *lines = gpiochip_get_data(chip);

	return gpiod_to_irq(lines->desc[offset]);
}

static int bench_gpio_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct gpio_descs *lines;
	struct gpio_chip *chip;

	lines = devm_gpiod_get_array(dev, "lines", GPIOD_IN);
	if (IS_ERR(lines))
		return PTR_ERR(lines);
	chip = devm_kzalloc(dev, sizeof(*chip), GFP_KERNEL);
	if (!chip)
		return -ENOMEM;
	chip->label = "esp-bench";
	chip->parent = dev;
	chip->owner = THIS_MODULE;
	chip->base = -1;
	chip->ngpio = lines->ndescs;
	chip->can_sleep = true;
	chip->get = bench_gpio_get;
	chip->get_direction = bench_gpio_direction;
	chip->direction_input = bench_gpio_input;
	chip->to_irq = bench_gpio_to_irq;

	return devm_gpiochip_add_data(dev, chip, lines);
}

/* The lines go after the device that uses them; it must be quiet by now. */
static void bench_gpio_shutdown(struct platform_device *pdev)
{
	int before = atomic_read(&bench_spi_transfers);

	msleep(BENCH_SHUTDOWN_MS);
	dev_emerg(&pdev->dev, "%d SPI transfers after the driver's shutdown\n",
		  atomic_read(&bench_spi_transfers) - before);
}

static const struct of_device_id bench_gpio_match[] = {
	{ .compatible = "esp-hosted-bench,slow-lines" },
	{ }
};

static struct platform_driver bench_gpio_driver = {
	.driver = {
		.name = "esp-bench-gpio",
		.of_match_table = bench_gpio_match,
	},
	.probe = bench_gpio_probe,
	.shutdown = bench_gpio_shutdown,
};

static int __init bench_init(void)
{
	int err;

	err = register_kprobe(&bench_probe);
	if (err)
		return err;
	err = platform_driver_register(&bench_gpio_driver);
	if (err)
		goto remove_probe;
	if (unfit) {
		err = bench_add_unfit();
		if (err)
			goto remove_driver;
	}

	return 0;

remove_driver:
	platform_driver_unregister(&bench_gpio_driver);
remove_probe:
	unregister_kprobe(&bench_probe);

	return err;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	if (unfit) {
		spi_unregister_controller(bench_host);
		platform_device_unregister(bench_parent);
	}
	platform_driver_unregister(&bench_gpio_driver);
	unregister_kprobe(&bench_probe);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Faults of a host, for tests of the ESP-Hosted driver");
MODULE_LICENSE("GPL");

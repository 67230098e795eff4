// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of the newest kernel that older ones lack. compat.h says which are
 * needed; nothing of this is in a driver for a newer kernel.
 */

#include "cfg80211.h"

#ifdef ESP_COMPAT_TSTATS
#undef alloc_netdev_mqs
#undef free_netdev

/**
 * esp_compat_alloc_netdev - alloc_netdev_mqs() with counters per processor
 * @priv: size of the private area
 * @name: pattern of the name
 * @assigned: who chose the name
 * @setup: sets the device up
 * @txqs: number of transmit queues
 * @rxqs: number of receive queues
 *
 * Return: the device, or %NULL
 */
struct net_device *esp_compat_alloc_netdev(int priv, const char *name,
					   unsigned char assigned,
					   void (*setup)(struct net_device *),
					   unsigned int txqs, unsigned int rxqs)
{
	struct net_device *ndev;

	ndev = alloc_netdev_mqs(priv, name, assigned, setup, txqs, rxqs);
	if (!ndev)
		return NULL;
	ndev->tstats = netdev_alloc_pcpu_stats(struct pcpu_sw_netstats);
	if (!ndev->tstats) {
		free_netdev(ndev);
		return NULL;
	}

	return ndev;
}

/**
 * esp_compat_free_netdev - free_netdev() for esp_compat_alloc_netdev()
 * @ndev: the device
 */
void esp_compat_free_netdev(struct net_device *ndev)
{
	free_percpu(ndev->tstats);
	free_netdev(ndev);
}
#endif

#ifdef ESP_COMPAT_RTNL
/* Use RTNL of one who lends it, and keep the loan from ending meanwhile. */
static bool esp_compat_borrow(struct esp_compat *compat)
{
	mutex_lock(&compat->lent_lock);
	compat->borrowed = compat->lent;
	if (!compat->borrowed)
		mutex_unlock(&compat->lent_lock);

	return compat->borrowed;
}

/**
 * esp_compat_lock - take RTNL, or use it while one who holds it waits for us
 * @esp: the device
 *
 * Whoever holds RTNL may be the self-test, which waits for the state worker.
 */
void esp_compat_lock(struct esp_hosted *esp)
{
	while (!rtnl_trylock() && !esp_compat_borrow(&esp->compat))
		schedule_timeout_uninterruptible(1);
}

/**
 * esp_compat_unlock - undo esp_compat_lock()
 * @esp: the device
 */
void esp_compat_unlock(struct esp_hosted *esp)
{
	struct esp_compat *compat = &esp->compat;

	if (compat->borrowed) {
		compat->borrowed = false;
		mutex_unlock(&compat->lent_lock);
	} else {
		rtnl_unlock();
	}
}

/**
 * esp_lend_lock - let the state worker use our RTNL
 * @esp: the device, RTNL held
 *
 * The caller does nothing but wait until esp_lend_unlock().
 */
void esp_lend_lock(struct esp_hosted *esp)
{
	mutex_lock(&esp->compat.lent_lock);
	esp->compat.lent = true;
	mutex_unlock(&esp->compat.lent_lock);
}

/**
 * esp_lend_unlock - have RTNL to ourselves again
 * @esp: the device, RTNL held
 */
void esp_lend_unlock(struct esp_hosted *esp)
{
	mutex_lock(&esp->compat.lent_lock);
	esp->compat.lent = false;
	mutex_unlock(&esp->compat.lent_lock);
}
#endif

#ifdef ESP_NO_WIPHY_WORK
#undef wiphy_unregister

/*
 * Runs one work at a time: who holds the mutex may cancel all that do not run
 * yet, and none runs meanwhile.
 */
static void esp_compat_run(struct work_struct *run)
{
	struct esp_hosted *esp = container_of(run, struct esp_hosted,
					      compat.run);
	struct esp_compat *compat = &esp->compat;
	struct wiphy_work *work;
	bool more = false;

	esp_wiphy_lock(esp);
	spin_lock_irq(&compat->lock);
	work = list_first_entry_or_null(&compat->works, struct wiphy_work,
					entry);
	if (work) {
		list_del_init(&work->entry);
		more = !list_empty(&compat->works);
	}
	spin_unlock_irq(&compat->lock);
	if (work)
		work->func(esp->wiphy, work);
	esp_wiphy_unlock(esp);

	if (more)
		queue_work(system_unbound_wq, &compat->run);
}

static void esp_compat_timer(struct timer_list *timer)
{
	struct wiphy_delayed_work *dwork = from_timer(dwork, timer, timer);

	wiphy_work_queue(dwork->wiphy, &dwork->work);
}

/**
 * esp_compat_init - prepare what is missing in the kernel
 * @esp: the device
 */
void esp_compat_init(struct esp_hosted *esp)
{
	spin_lock_init(&esp->compat.lock);
	INIT_LIST_HEAD(&esp->compat.works);
	INIT_WORK(&esp->compat.run, esp_compat_run);
	mutex_init(&esp->compat.lent_lock);
}

/**
 * esp_compat_wiphy_unregister - wiphy_unregister(), and no work runs any more
 * @wiphy: the wiphy, all its works cancelled
 */
void esp_compat_wiphy_unregister(struct wiphy *wiphy)
{
	wiphy_unregister(wiphy);
	cancel_work_sync(&esp_from_wiphy(wiphy)->compat.run);
}

/**
 * wiphy_work_init - see newer kernels
 * @work: the work
 * @func: called with the wiphy mutex held
 */
void wiphy_work_init(struct wiphy_work *work, wiphy_work_func_t func)
{
	INIT_LIST_HEAD(&work->entry);
	work->func = func;
}

/**
 * wiphy_work_queue - see newer kernels
 * @wiphy: the wiphy
 * @work: to run soon, any context
 */
void wiphy_work_queue(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_compat *compat = &esp_from_wiphy(wiphy)->compat;
	unsigned long flags;

	spin_lock_irqsave(&compat->lock, flags);
	if (list_empty(&work->entry))
		list_add_tail(&work->entry, &compat->works);
	spin_unlock_irqrestore(&compat->lock, flags);
	queue_work(system_unbound_wq, &compat->run);
}

/**
 * wiphy_work_cancel - see newer kernels
 * @wiphy: the wiphy, its mutex held
 * @work: does not run after this
 */
void wiphy_work_cancel(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_compat *compat = &esp_from_wiphy(wiphy)->compat;

	spin_lock_irq(&compat->lock);
	if (!list_empty(&work->entry))
		list_del_init(&work->entry);
	spin_unlock_irq(&compat->lock);
}

/**
 * wiphy_delayed_work_init - see newer kernels
 * @dwork: the work
 * @func: called with the wiphy mutex held
 */
void wiphy_delayed_work_init(struct wiphy_delayed_work *dwork,
			     wiphy_work_func_t func)
{
	timer_setup(&dwork->timer, esp_compat_timer, 0);
	wiphy_work_init(&dwork->work, func);
}

/**
 * wiphy_delayed_work_queue - see newer kernels
 * @wiphy: the wiphy
 * @dwork: to run, or to run at another time than it was to
 * @delay: after so many jiffies
 */
void wiphy_delayed_work_queue(struct wiphy *wiphy,
			      struct wiphy_delayed_work *dwork,
			      unsigned long delay)
{
	dwork->wiphy = wiphy;
	mod_timer(&dwork->timer, jiffies + delay);
}

/**
 * wiphy_delayed_work_cancel - see newer kernels
 * @wiphy: the wiphy, its mutex held
 * @dwork: does not run after this
 */
void wiphy_delayed_work_cancel(struct wiphy *wiphy,
			       struct wiphy_delayed_work *dwork)
{
	timer_delete_sync(&dwork->timer);
	wiphy_work_cancel(wiphy, &dwork->work);
}
#endif

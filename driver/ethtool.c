// SPDX-License-Identifier: GPL-2.0-only
/*
 * ethtool: driver information, link settings, ring sizes, private counters and
 * flags. The self-test is in selftest.c.
 *
 * Only what has no standard place is counted here; packets, bytes, errors and
 * drops of the interface are in ndo_get_stats64.
 */

#include <linux/ethtool.h>

#include "esp_hosted.h"

const char esp_stat_names[ESP_STAT_COUNT][ETH_GSTRING_LEN] = {
	[ESP_STAT_TRANSACTIONS] = "transactions",
	[ESP_STAT_IDLE] = "idle_transactions",
	[ESP_STAT_POLLS] = "watchdog_polls",
	[ESP_STAT_HS_WAITS] = "handshake_waits",
	[ESP_STAT_HS_EDGES] = "handshake_edges",
	[ESP_STAT_HS_QUIET] = "handshake_quiet_starts",
	[ESP_STAT_DR_EDGES] = "data_ready_edges",
	[ESP_STAT_SPI_ERRORS] = "spi_errors",
	[ESP_STAT_SPI_RETRIES] = "spi_retries",
	[ESP_STAT_RX_FRAMES] = "rx_frames",
	[ESP_STAT_RX_BLANK] = "rx_drop_blank",
	[ESP_STAT_RX_BAD_IF] = "rx_drop_interface",
	[ESP_STAT_RX_EMPTY] = "rx_drop_empty",
	[ESP_STAT_RX_BAD_OFFSET] = "rx_drop_offset",
	[ESP_STAT_RX_BAD_LEN] = "rx_drop_length",
	[ESP_STAT_RX_BAD_CSUM] = "rx_drop_checksum",
	[ESP_STAT_RX_BAD_TYPE] = "rx_drop_packet_type",
	[ESP_STAT_RX_BAD_IFNUM] = "rx_drop_interface_number",
	[ESP_STAT_RX_NOT_RUNNING] = "rx_drop_not_running",
	[ESP_STAT_RX_BAD_ROLE] = "rx_drop_role",
	[ESP_STAT_RX_RUNT] = "rx_drop_runt",
	[ESP_STAT_RX_OVERSIZE] = "rx_drop_oversize",
	[ESP_STAT_RX_BAD_EAPOL] = "rx_drop_eapol",
	[ESP_STAT_RX_BARE_EAPOL] = "rx_bare_eapol",
	[ESP_STAT_RX_BACKLOG] = "rx_drop_backlog",
	[ESP_STAT_RX_NOMEM] = "rx_drop_no_memory",
	[ESP_STAT_HCI_RX_BAD] = "rx_drop_hci",
	[ESP_STAT_HCI_TX_BAD] = "tx_drop_hci",
	[ESP_STAT_TX_FRAMES] = "tx_frames",
	[ESP_STAT_TX_PURGED] = "tx_drop_purged",
	[ESP_STAT_TX_BAD_LEN] = "tx_drop_length",
	[ESP_STAT_TX_NOT_RUNNING] = "tx_drop_not_running",
	[ESP_STAT_TX_UNAUTHORIZED] = "tx_drop_unauthorized",
	[ESP_STAT_TX_STOPS] = "tx_queue_stops",
	[ESP_STAT_TX_WAKES] = "tx_queue_wakes",
	[ESP_STAT_TX_HIGH_WATER] = "tx_queue_high_water",
	[ESP_STAT_RX_HIGH_WATER] = "rx_queue_high_water",
	[ESP_STAT_NAPI_POLLS] = "napi_polls",
	[ESP_STAT_COMMANDS] = "commands",
	[ESP_STAT_CMD_FAILED] = "command_failures",
	[ESP_STAT_CMD_TIMEOUTS] = "command_timeouts",
	[ESP_STAT_CMD_CANCELLED] = "command_cancels",
	[ESP_STAT_RESP_MALFORMED] = "response_drop_malformed",
	[ESP_STAT_RESP_UNEXPECTED] = "response_drop_unexpected",
	[ESP_STAT_EVENTS] = "events",
	[ESP_STAT_EVENT_MALFORMED] = "event_drop_malformed",
	[ESP_STAT_EVENT_GENERATION] = "event_drop_other_generation",
	[ESP_STAT_EVENT_UNEXPECTED] = "event_drop_unexpected",
	[ESP_STAT_EVENT_BACKLOG] = "event_drop_backlog",
	[ESP_STAT_EVENT_UNKNOWN] = "event_drop_unknown",
	[ESP_STAT_SCAN_FILTERED] = "scan_results_filtered",
	[ESP_STAT_SCAN_SPURIOUS] = "scan_done_spurious",
	[ESP_STAT_SCAN_TIMEOUTS] = "scan_timeouts",
	[ESP_STAT_MLME_TIMEOUTS] = "mlme_timeouts",
	[ESP_STAT_BOOT_EVENTS] = "boot_events",
	[ESP_STAT_BOOT_MALFORMED] = "boot_events_malformed",
	[ESP_STAT_BOOT_TIMEOUTS] = "boot_timeouts",
	[ESP_STAT_RESETS] = "resets",
	[ESP_STAT_RESTARTS] = "firmware_restarts",
};

static void esp_get_drvinfo(struct net_device *ndev,
			    struct ethtool_drvinfo *info)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;

	strscpy(info->driver, ESP_DRV_NAME, sizeof(info->driver));
	strscpy(info->fw_version, esp->fw_version, sizeof(info->fw_version));
	strscpy(info->bus_info, dev_name(esp->dev), sizeof(info->bus_info));
}

/* The speed is the highest the association allows; Wi-Fi has no fixed one. */
static int esp_get_link_ksettings(struct net_device *ndev,
				  struct ethtool_link_ksettings *ks)
{
	struct esp_vif *vif = netdev_priv(ndev);
	u32 rate = 0;

	if (vif->sta.state == ESP_STA_CONNECTED)
		rate = cfg80211_calculate_bitrate(&vif->sta.rate);
	ks->base.speed = rate ? rate / 10 : SPEED_UNKNOWN;
	ks->base.duplex = DUPLEX_HALF;
	ks->base.port = PORT_OTHER;
	ks->base.autoneg = AUTONEG_DISABLE;

	return 0;
}

static void esp_get_ringparam(struct net_device *ndev,
			      struct ethtool_ringparam *ring,
			      struct kernel_ethtool_ringparam *kernel_ring,
			      struct netlink_ext_ack *extack)
{
	struct esp_vif *vif = netdev_priv(ndev);

	ring->rx_max_pending = ESP_RING_MAX;
	ring->tx_max_pending = ESP_RING_MAX;
	ring->rx_pending = vif->rx_limit;
	ring->tx_pending = vif->tx_limit;
}

static int esp_set_ringparam(struct net_device *ndev,
			     struct ethtool_ringparam *ring,
			     struct kernel_ethtool_ringparam *kernel_ring,
			     struct netlink_ext_ack *extack)
{
	struct esp_vif *vif = netdev_priv(ndev);

	if (ring->rx_mini_pending || ring->rx_jumbo_pending) {
		NL_SET_ERR_MSG(extack, "there is one receive ring only");
		return -EINVAL;
	}
	if (ring->rx_pending < ESP_RING_MIN ||
	    ring->tx_pending < ESP_RING_MIN) {
		NL_SET_ERR_MSG(extack, "rings need at least 4 entries");
		return -EINVAL;
	}

	return esp_netdev_set_rings(vif, ring->tx_pending, ring->rx_pending);
}

static u32 esp_get_msglevel(struct net_device *ndev)
{
	struct esp_vif *vif = netdev_priv(ndev);

	return vif->msg_enable;
}

static void esp_set_msglevel(struct net_device *ndev, u32 level)
{
	struct esp_vif *vif = netdev_priv(ndev);

	vif->msg_enable = level;
}

static const char esp_priv_names[ESP_PRIV_COUNT][ETH_GSTRING_LEN] = {
	[ESP_PRIV_AUTO_RESET] = "auto-reset",
	[ESP_PRIV_POLL] = "watchdog-poll",
};

static void esp_get_strings(struct net_device *ndev, u32 set, u8 *data)
{
	if (set == ETH_SS_STATS)
		memcpy(data, esp_stat_names, sizeof(esp_stat_names));
	else if (set == ETH_SS_TEST)
		memcpy(data, esp_test_names, ESP_TEST_COUNT * ETH_GSTRING_LEN);
	else if (set == ETH_SS_PRIV_FLAGS)
		memcpy(data, esp_priv_names, sizeof(esp_priv_names));
}

static int esp_get_sset_count(struct net_device *ndev, int set)
{
	switch (set) {
	case ETH_SS_STATS:
		return ESP_STAT_COUNT;
	case ETH_SS_TEST:
		return ESP_TEST_COUNT;
	case ETH_SS_PRIV_FLAGS:
		return ESP_PRIV_COUNT;
	default:
		return -EOPNOTSUPP;
	}
}

static u32 esp_get_priv_flags(struct net_device *ndev)
{
	struct esp_vif *vif = netdev_priv(ndev);

	return READ_ONCE(vif->esp->priv_flags);
}

static int esp_set_priv_flags(struct net_device *ndev, u32 flags)
{
	struct esp_vif *vif = netdev_priv(ndev);

	if (flags >> ESP_PRIV_COUNT)
		return -EINVAL;
	WRITE_ONCE(vif->esp->priv_flags, flags);
	esp_link_kick(&vif->esp->link);

	return 0;
}

/* Version 2 of the dump: this structure, host byte order. */
struct esp_regs {
	u32 state;
	u32 generation;
	u32 flags;
	u32 link_flags;
	u32 expect;
	u32 capabilities;
	u32 ext_capabilities;
	u32 chip;
	u32 clock_hz;
	u8 version[8];
	u8 last_tx[ESP_LOG_BYTES];
	u8 last_rx[ESP_LOG_BYTES];
};

static int esp_get_regs_len(struct net_device *ndev)
{
	return sizeof(struct esp_regs);
}

static void esp_get_regs(struct net_device *ndev, struct ethtool_regs *info,
			 void *data)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;
	struct esp_regs *regs = data;

	info->version = 2;
	*regs = (struct esp_regs) {
		.state = READ_ONCE(esp->state),
		.generation = esp->gen,
		.flags = esp->flags,
		.link_flags = esp->link.flags,
		.expect = esp->link.expect,
		.capabilities = esp->boot.caps,
		.ext_capabilities = esp->boot.ext_caps,
		.chip = esp->boot.chip,
		.clock_hz = esp->link.xfer.speed_hz,
	};
	memcpy(regs->version, esp->boot.version, sizeof(esp->boot.version));
	/* Not while a transaction writes them. */
	mutex_lock(&esp->link.lock);
	memcpy(regs->last_tx, esp->link.last_tx, sizeof(regs->last_tx));
	memcpy(regs->last_rx, esp->link.last_rx, sizeof(regs->last_rx));
	mutex_unlock(&esp->link.lock);
}

static void esp_get_ethtool_stats(struct net_device *ndev,
				  struct ethtool_stats *stats, u64 *data)
{
	struct esp_vif *vif = netdev_priv(ndev);
	unsigned int i;

	for (i = 0; i < ESP_STAT_COUNT; i++)
		data[i] = esp_stat(vif->esp, i);
}

/* The parameters of some operations depend on the kernel. */
#define ESP_COMPAT_ETHTOOL
#include "compat.h"

const struct ethtool_ops esp_ethtool_ops = {
	.get_drvinfo = esp_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = esp_get_link_ksettings,
	.get_ringparam = ESP_OP_RING(esp_get_ringparam),
	.set_ringparam = ESP_OP_RING(esp_set_ringparam),
	.get_msglevel = esp_get_msglevel,
	.set_msglevel = esp_set_msglevel,
	.get_strings = esp_get_strings,
	.get_sset_count = esp_get_sset_count,
	.get_ethtool_stats = esp_get_ethtool_stats,
	.self_test = esp_self_test,
	.get_priv_flags = esp_get_priv_flags,
	.set_priv_flags = esp_set_priv_flags,
	.get_regs_len = esp_get_regs_len,
	.get_regs = esp_get_regs,
	.get_ts_info = ethtool_op_get_ts_info,
};

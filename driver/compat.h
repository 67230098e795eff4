/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Older kernels, made to look like the newest one.
 *
 * The driver is written against the newest kernel API. This is the only file
 * that may mention a kernel version; an in-tree copy of the driver drops it.
 * What is too long for a header is in compat.c.
 */
#ifndef ESP_HOSTED_COMPAT_H
#define ESP_HOSTED_COMPAT_H

#include <linux/netdevice.h>
#include <linux/pm.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/string_helpers.h>
#include <linux/timer.h>
#include <linux/version.h>
#include <net/cfg80211.h>

#define ESP_KERNEL(major, minor) \
	(KERNEL_VERSION(major, minor, 0) <= LINUX_VERSION_CODE)

#if ESP_KERNEL(6, 12)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#if ESP_KERNEL(6, 12)
#include <linux/string_choices.h>
#else
#define str_on_off(on) ((on) ? "on" : "off")
#endif

#ifndef timer_container_of
#define timer_container_of from_timer
#endif

#if !ESP_KERNEL(6, 2)
/* Late stable releases have timer_delete_sync() themselves. */
#define timer_delete_sync del_timer_sync
#define timer_shutdown_sync del_timer_sync
#endif

/* Power management */

#ifndef pm_sleep_ptr
#define pm_sleep_ptr(ptr) (IS_ENABLED(CONFIG_PM_SLEEP) ? (ptr) : NULL)
#endif

#ifndef SYSTEM_SLEEP_PM_OPS
#define SYSTEM_SLEEP_PM_OPS(sleep, wake) SET_SYSTEM_SLEEP_PM_OPS(sleep, wake)
#endif

/* Network interface */

#if !ESP_KERNEL(6, 1)
#define netif_napi_add(ndev, napi, poll) \
	netif_napi_add(ndev, napi, poll, NAPI_POLL_WEIGHT)

/* The core does not allocate the counters of every processor yet. */
#define ESP_COMPAT_TSTATS
#define esp_use_tstats(ndev)
#define alloc_netdev_mqs esp_compat_alloc_netdev
#define free_netdev esp_compat_free_netdev

struct net_device *esp_compat_alloc_netdev(int priv, const char *name,
					   unsigned char assigned,
					   void (*setup)(struct net_device *),
					   unsigned int txqs, unsigned int rxqs);
void esp_compat_free_netdev(struct net_device *ndev);
#else
#define esp_use_tstats(ndev) \
	((ndev)->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS)
#endif

#if !ESP_KERNEL(5, 17)
struct kernel_ethtool_ringparam;
#endif

#if !ESP_KERNEL(5, 11)
static inline void dev_sw_netstats_tx_add(struct net_device *ndev,
					  unsigned int packets,
					  unsigned int len)
{
	struct pcpu_sw_netstats *stats = this_cpu_ptr(ndev->tstats);

	u64_stats_update_begin(&stats->syncp);
	stats->tx_packets += packets;
	stats->tx_bytes += len;
	u64_stats_update_end(&stats->syncp);
}
#endif

/*
 * Locks of cfg80211. Before 5.12 there is no wiphy mutex: RTNL does its work,
 * and the operations run under it. wiphy_lock() is for those who hold RTNL
 * anyway, esp_wiphy_lock() for those who do not.
 */
#if ESP_KERNEL(5, 12)
#define esp_wiphy_lock(esp) wiphy_lock((esp)->wiphy)
#define esp_wiphy_unlock(esp) wiphy_unlock((esp)->wiphy)
#define esp_lend_lock(esp)
#define esp_lend_unlock(esp)
#else
struct esp_hosted;

#define ESP_COMPAT_RTNL
#define esp_wiphy_lock esp_compat_lock
#define esp_wiphy_unlock esp_compat_unlock

void esp_compat_lock(struct esp_hosted *esp);
void esp_compat_unlock(struct esp_hosted *esp);
/* The state worker works for one who holds RTNL and waits for it. */
void esp_lend_lock(struct esp_hosted *esp);
void esp_lend_unlock(struct esp_hosted *esp);

static inline void wiphy_lock(struct wiphy *wiphy)
{
	ASSERT_RTNL();
}

static inline void wiphy_unlock(struct wiphy *wiphy)
{
}

#define cfg80211_register_netdevice register_netdevice
#define cfg80211_unregister_netdevice unregister_netdevice
#endif

/* Before 6.7 reports about a station's session need another mutex. */
#if ESP_KERNEL(6, 7)
#define esp_session_lock(wdev)
#define esp_session_unlock(wdev)
#else
#define esp_session_lock(wdev) mutex_lock(&(wdev)->mtx)
#define esp_session_unlock(wdev) mutex_unlock(&(wdev)->mtx)
#endif

/*
 * Work under the wiphy mutex came in 6.5, and to some older kernels later:
 * Kbuild looks whether it is there.
 */
#ifdef ESP_NO_WIPHY_WORK
struct wiphy_work;
typedef void (*wiphy_work_func_t)(struct wiphy *, struct wiphy_work *);

struct wiphy_work {
	struct list_head entry;
	wiphy_work_func_t func;
};

struct wiphy_delayed_work {
	struct wiphy_work work;
	struct wiphy *wiphy;
	struct timer_list timer;
};

#define wiphy_unregister esp_compat_wiphy_unregister

void wiphy_work_init(struct wiphy_work *work, wiphy_work_func_t func);
void wiphy_work_queue(struct wiphy *wiphy, struct wiphy_work *work);
void wiphy_work_cancel(struct wiphy *wiphy, struct wiphy_work *work);
void wiphy_delayed_work_init(struct wiphy_delayed_work *dwork,
			     wiphy_work_func_t func);
void wiphy_delayed_work_queue(struct wiphy *wiphy,
			      struct wiphy_delayed_work *dwork,
			      unsigned long delay);
void wiphy_delayed_work_cancel(struct wiphy *wiphy,
			       struct wiphy_delayed_work *dwork);
void esp_compat_wiphy_unregister(struct wiphy *wiphy);
#endif

/* Multi-link: requests and reports name a link, which we never have. */

#if ESP_KERNEL(6, 0)
#define esp_link_params(params) (&(params)->link_sta_params)
#define esp_req_link(req) ((req)->link_id)
#define esp_disassoc_addr(req) ((req)->ap_addr)
#else
#define link_station_parameters station_parameters
#define esp_link_params(params) (params)
#define esp_req_link(req) (-1)
#define esp_disassoc_addr(req) ((req)->bss->bssid)

struct cfg80211_rx_assoc_resp_data {
	const u8 *buf;
	size_t len;
	int uapsd_queues;
	struct {
		const u8 *addr;
		struct cfg80211_bss *bss;
	} links[15];
};

static inline void
esp_compat_rx_assoc_resp(struct net_device *ndev,
			 struct cfg80211_rx_assoc_resp_data *resp)
{
	cfg80211_rx_assoc_resp(ndev, resp->links[0].bss, resp->buf, resp->len,
			       resp->uapsd_queues, NULL, 0);
}

#define cfg80211_rx_assoc_resp esp_compat_rx_assoc_resp

struct cfg80211_assoc_failure {
	struct cfg80211_bss *bss[1];
	bool timeout;
};

static inline void cfg80211_assoc_failure(struct net_device *ndev,
					  struct cfg80211_assoc_failure *data)
{
	cfg80211_assoc_timeout(ndev, data->bss[0]);
}
#endif

#if !ESP_KERNEL(6, 7)
#if ESP_KERNEL(6, 0)
#define cfg80211_rx_assoc_resp_data cfg80211_rx_assoc_resp
#endif

struct cfg80211_ap_update {
	struct cfg80211_beacon_data beacon;
};

#define esp_resp_set_addr(resp, mac) ((resp)->links[0].addr = (mac))
#else
#define esp_resp_set_addr(resp, mac) \
	ether_addr_copy((resp)->links[0].addr, mac)
#endif

#if !ESP_KERNEL(5, 11)
#define cfg80211_tx_mlme_mgmt(ndev, frame, len, reconnect) \
	cfg80211_tx_mlme_mgmt(ndev, frame, len)
#endif

/* Others */

#if ESP_KERNEL(6, 10)
#define ESP_ASSIGN_STR(dst) __assign_str(dst)
#else
#define ESP_ASSIGN_STR(dst) __assign_str(dst, dev_name(esp->dev))
#endif

#if ESP_KERNEL(6, 16)
#define esp_wants_wifi_status(skb) sk_requests_wifi_status((skb)->sk)
#else
static inline bool esp_wants_wifi_status(const struct sk_buff *skb)
{
	return skb->sk && (skb_shinfo(skb)->tx_flags & SKBTX_WIFI_STATUS);
}
#endif

/* In 7.3 a link was added, which we never have. */
#if ESP_KERNEL(7, 3)
#define esp_probe_status(ndev, peer, cookie, ack) \
	cfg80211_probe_status(ndev, peer, cookie, -1, ack, 0, false, GFP_KERNEL)
#else
#define esp_probe_status(ndev, peer, cookie, ack) \
	cfg80211_probe_status(ndev, peer, cookie, ack, 0, false, GFP_KERNEL)
#define probe_peer probe_client
#endif

/*
 * What only older kernels need of a device: compat.c's own things, and cookies
 * of management frames, which the core chooses since 7.3.
 */
#ifdef ESP_NO_WIPHY_WORK
/**
 * struct esp_compat - what is missing in the kernel
 * @lock: protects @works
 * @works: works that wait for their turn
 * @run: runs them
 * @lent_lock: held by who works under RTNL that another one holds
 * @lent: one who holds RTNL waits for the state worker
 * @borrowed: the state worker uses it
 */
struct esp_compat {
	spinlock_t lock; /* protects works */
	struct list_head works;
	struct work_struct run;
	struct mutex lent_lock; /* protects lent */
	bool lent;
	bool borrowed;
};

#define ESP_COMPAT_FIELDS struct esp_compat compat; u64 cookie

struct esp_hosted;
void esp_compat_init(struct esp_hosted *esp);
#else
#define esp_compat_init(esp)
#if ESP_KERNEL(7, 3)
#define ESP_COMPAT_FIELDS
#else
#define ESP_COMPAT_FIELDS u64 cookie
#endif
#endif

#endif /* ESP_HOSTED_COMPAT_H */

/*
 * Operations of cfg80211 whose parameters changed: ESP_OP() names the function
 * for the table, here the one that takes the old parameters. cfg80211.c
 * defines ESP_COMPAT_OPS before it includes this file once more.
 */
#if defined(ESP_COMPAT_OPS) && !defined(ESP_OP)

#if ESP_KERNEL(7, 1)
#define ESP_OP(name) name
#define ESP_OP_KEY(name) name
#else
#define ESP_OP(name) name##_ndev

#if ESP_KERNEL(6, 1)
#define ESP_OP_KEY(name) name##_ndev

static int esp_add_key_ndev(struct wiphy *wiphy, struct net_device *ndev,
			    int link_id, u8 index, bool pairwise,
			    const u8 *mac, struct key_params *params)
{
	return esp_add_key(wiphy, ndev->ieee80211_ptr, link_id, index,
			   pairwise, mac, params);
}

static int esp_del_key_ndev(struct wiphy *wiphy, struct net_device *ndev,
			    int link_id, u8 index, bool pairwise,
			    const u8 *mac)
{
	return esp_del_key(wiphy, ndev->ieee80211_ptr, link_id, index,
			   pairwise, mac);
}

static int esp_set_default_mgmt_key_ndev(struct wiphy *wiphy,
					 struct net_device *ndev, int link_id,
					 u8 index)
{
	return esp_set_default_mgmt_key(wiphy, ndev->ieee80211_ptr, link_id,
					index);
}
#else
#define ESP_OP_KEY(name) name##_ndev_only

static int esp_add_key_ndev_only(struct wiphy *wiphy, struct net_device *ndev,
				 u8 index, bool pairwise, const u8 *mac,
				 struct key_params *params)
{
	return esp_add_key(wiphy, ndev->ieee80211_ptr, -1, index, pairwise,
			   mac, params);
}

static int esp_del_key_ndev_only(struct wiphy *wiphy, struct net_device *ndev,
				 u8 index, bool pairwise, const u8 *mac)
{
	return esp_del_key(wiphy, ndev->ieee80211_ptr, -1, index, pairwise,
			   mac);
}

static int esp_set_default_mgmt_key_ndev_only(struct wiphy *wiphy,
					      struct net_device *ndev, u8 index)
{
	return esp_set_default_mgmt_key(wiphy, ndev->ieee80211_ptr, -1, index);
}
#endif

static int esp_add_station_ndev(struct wiphy *wiphy, struct net_device *ndev,
				const u8 *mac,
				struct station_parameters *params)
{
	return esp_add_station(wiphy, ndev->ieee80211_ptr, mac, params);
}

static int esp_del_station_ndev(struct wiphy *wiphy, struct net_device *ndev,
				struct station_del_parameters *params)
{
	return esp_del_station(wiphy, ndev->ieee80211_ptr, params);
}

static int esp_change_station_ndev(struct wiphy *wiphy,
				   struct net_device *ndev, const u8 *mac,
				   struct station_parameters *params)
{
	return esp_change_station(wiphy, ndev->ieee80211_ptr, mac, params);
}

static int esp_get_station_ndev(struct wiphy *wiphy, struct net_device *ndev,
				const u8 *mac, struct station_info *sinfo)
{
	return esp_get_station(wiphy, ndev->ieee80211_ptr, mac, sinfo);
}

static int esp_dump_station_ndev(struct wiphy *wiphy, struct net_device *ndev,
				 int idx, u8 *mac, struct station_info *sinfo)
{
	return esp_dump_station(wiphy, ndev->ieee80211_ptr, idx, mac, sinfo);
}
#endif

#if ESP_KERNEL(6, 7)
#define ESP_OP_BEACON(name) name
#else
#define ESP_OP_BEACON(name) name##_data

static int esp_change_beacon_data(struct wiphy *wiphy, struct net_device *ndev,
				  struct cfg80211_beacon_data *beacon)
{
	struct cfg80211_ap_update update = { .beacon = *beacon };

	return esp_change_beacon(wiphy, ndev, &update);
}
#endif

#if ESP_KERNEL(6, 1)
#define ESP_OP_DEFAULT_KEY(name) name
#else
#define ESP_OP_DEFAULT_KEY(name) name##_any_link

static int esp_set_default_key_any_link(struct wiphy *wiphy,
					struct net_device *ndev, u8 index,
					bool unicast, bool multicast)
{
	return esp_set_default_key(wiphy, ndev, -1, index, unicast, multicast);
}
#endif

#if ESP_KERNEL(6, 0)
#define ESP_OP_LINK(name) name
#else
#define ESP_OP_LINK(name) name##_any_link

static int esp_stop_ap_any_link(struct wiphy *wiphy, struct net_device *ndev)
{
	return esp_stop_ap(wiphy, ndev, 0);
}

static int esp_get_channel_any_link(struct wiphy *wiphy,
				    struct wireless_dev *wdev,
				    struct cfg80211_chan_def *chandef)
{
	return esp_get_channel(wiphy, wdev, 0, chandef);
}
#endif

#if ESP_KERNEL(6, 17)
#define ESP_OP_TXPOWER(name) name
#else
#define ESP_OP_TXPOWER(name) name##_any_radio

static int esp_set_tx_power_any_radio(struct wiphy *wiphy,
				      struct wireless_dev *wdev,
				      enum nl80211_tx_power_setting type,
				      int mbm)
{
	return esp_set_tx_power(wiphy, wdev, -1, type, mbm);
}

#if ESP_KERNEL(6, 14)
static int esp_get_tx_power_any_radio(struct wiphy *wiphy,
				      struct wireless_dev *wdev,
				      unsigned int link_id, int *dbm)
#else
static int esp_get_tx_power_any_radio(struct wiphy *wiphy,
				      struct wireless_dev *wdev, int *dbm)
#endif
{
	return esp_get_tx_power(wiphy, wdev, -1, 0, dbm);
}
#endif

#if ESP_KERNEL(7, 3)
#define ESP_OP_COOKIE(name) name
#else
#define ESP_OP_COOKIE(name) name##_new_cookie

static int esp_mgmt_tx_new_cookie(struct wiphy *wiphy,
				  struct wireless_dev *wdev,
				  struct cfg80211_mgmt_tx_params *params,
				  u64 *cookie)
{
	*cookie = ++esp_from_wiphy(wiphy)->cookie;

	return esp_mgmt_tx(wiphy, wdev, params, *cookie);
}

static int esp_probe_station_new_cookie(struct wiphy *wiphy,
					struct net_device *ndev,
					const u8 *peer, u64 *cookie)
{
	*cookie = ++esp_from_wiphy(wiphy)->cookie;

	return esp_probe_station(wiphy, ndev, peer, *cookie);
}
#endif

#endif /* ESP_COMPAT_OPS */

/* Operations of ethtool, in the same way. */
#if defined(ESP_COMPAT_ETHTOOL) && !defined(ESP_OP_RING)

#if ESP_KERNEL(5, 17)
#define ESP_OP_RING(name) name
#else
#define ESP_OP_RING(name) name##_only

static void esp_get_ringparam_only(struct net_device *ndev,
				   struct ethtool_ringparam *ring)
{
	esp_get_ringparam(ndev, ring, NULL, NULL);
}

static int esp_set_ringparam_only(struct net_device *ndev,
				  struct ethtool_ringparam *ring)
{
	return esp_set_ringparam(ndev, ring, NULL, NULL);
}
#endif

#endif /* ESP_COMPAT_ETHTOOL */

/* Operations of a SPI driver. */
#if defined(ESP_COMPAT_SPI) && !defined(ESP_OP_SPI)

#if ESP_KERNEL(5, 18)
#define ESP_OP_SPI(name) name
#else
#define ESP_OP_SPI(name) name##_int

static int esp_remove_int(struct spi_device *spi)
{
	esp_remove(spi);

	return 0;
}
#endif

#endif /* ESP_COMPAT_SPI */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Older kernels, made to look like the newest one.
 *
 * The driver is written against the newest kernel API. This is the only file
 * that may mention a kernel version; an in-tree copy of the driver drops it.
 */
#ifndef ESP_HOSTED_COMPAT_H
#define ESP_HOSTED_COMPAT_H

#include <linux/pm.h>
#include <linux/skbuff.h>
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

#ifndef timer_container_of
#define timer_container_of from_timer
#endif

#if !ESP_KERNEL(6, 2)
#define timer_delete_sync del_timer_sync
#define timer_shutdown_sync del_timer_sync
#endif

#if !ESP_KERNEL(6, 7)
#define cfg80211_rx_assoc_resp_data cfg80211_rx_assoc_resp

struct cfg80211_ap_update {
	struct cfg80211_beacon_data beacon;
};

#define esp_resp_set_addr(resp, mac) ((resp)->links[0].addr = (mac))
#else
#define esp_resp_set_addr(resp, mac) \
	ether_addr_copy((resp)->links[0].addr, mac)
#endif

#ifndef SYSTEM_SLEEP_PM_OPS
#define SYSTEM_SLEEP_PM_OPS(sleep, wake) SET_SYSTEM_SLEEP_PM_OPS(sleep, wake)
#endif

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

/* In 7.3 the core began to choose the cookies of management frames. */
#if ESP_KERNEL(7, 3)
#define ESP_COMPAT_FIELDS
#else
#define ESP_COMPAT_FIELDS u64 cookie
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
#else
#define ESP_OP(name) name##_ndev

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

#if ESP_KERNEL(6, 0)
#define ESP_OP_CHANNEL(name) name
#else
#define ESP_OP_CHANNEL(name) name##_link

static int esp_get_channel_link(struct wiphy *wiphy, struct wireless_dev *wdev,
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

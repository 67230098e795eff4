/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files behind cfg80211's operations share: wiphy, station, access
 * point, scans, keys. Everything here runs under the wiphy mutex; struct
 * cfg80211_ops says what its operations have to do.
 */
#ifndef ESP_HOSTED_CFG80211_H
#define ESP_HOSTED_CFG80211_H

#include "esp_hosted.h"

/* Wi-Fi is really started a little after INIT_IF said so. */
#define ESP_START_RETRIES	5
#define ESP_START_RETRY_MS	50

static inline struct esp_hosted *esp_from_wiphy(struct wiphy *wiphy)
{
	return *(struct esp_hosted **)wiphy_priv(wiphy);
}

/* sta.c */
void esp_sta_init(struct esp_vif *vif);
void esp_sta_abort(struct esp_vif *vif);
bool esp_sta_busy(const struct esp_vif *vif);
int esp_sta_get_station(struct esp_vif *vif, const u8 *mac,
			struct station_info *sinfo);
int esp_sta_dump_station(struct esp_vif *vif, int index, u8 *mac,
			 struct station_info *sinfo);
int esp_sta_change_station(struct esp_vif *vif, const u8 *mac,
			   struct station_parameters *params);
int esp_auth(struct wiphy *wiphy, struct net_device *ndev,
	     struct cfg80211_auth_request *req);
int esp_assoc(struct wiphy *wiphy, struct net_device *ndev,
	      struct cfg80211_assoc_request *req);
int esp_deauth(struct wiphy *wiphy, struct net_device *ndev,
	       struct cfg80211_deauth_request *req);
int esp_disassoc(struct wiphy *wiphy, struct net_device *ndev,
		 struct cfg80211_disassoc_request *req);

/* scan.c */
void esp_scan_init(struct esp_vif *vif);
int esp_scan(struct wiphy *wiphy, struct cfg80211_scan_request *request);

/* key.c */
int esp_add_key(struct wiphy *wiphy, struct wireless_dev *wdev, int link_id,
		u8 index, bool pairwise, const u8 *mac,
		struct key_params *params);
int esp_del_key(struct wiphy *wiphy, struct wireless_dev *wdev, int link_id,
		u8 index, bool pairwise, const u8 *mac);
int esp_set_default_key(struct wiphy *wiphy, struct net_device *ndev,
			int link_id, u8 index, bool unicast, bool multicast);
int esp_set_default_mgmt_key(struct wiphy *wiphy, struct wireless_dev *wdev,
			     int link_id, u8 index);

/* ap.c */
extern const struct ieee80211_txrx_stypes
esp_ap_mgmt_stypes[NUM_NL80211_IFTYPES];
void esp_ap_init(struct esp_vif *vif);
int esp_ap_mode(struct esp_hosted *esp);
int esp_set_mode(struct esp_hosted *esp, u16 mode);
void esp_ap_abort(struct esp_vif *vif);
int esp_ap_get_station(struct esp_vif *vif, const u8 *mac,
		       struct station_info *sinfo);
int esp_ap_dump_station(struct esp_vif *vif, int index, u8 *mac,
			struct station_info *sinfo);
int esp_ap_change_station(struct esp_vif *vif, const u8 *mac,
			  struct station_parameters *params);
int esp_add_station(struct wiphy *wiphy, struct wireless_dev *wdev,
		    const u8 *mac, struct station_parameters *params);
int esp_del_station(struct wiphy *wiphy, struct wireless_dev *wdev,
		    struct station_del_parameters *params);
int esp_start_ap(struct wiphy *wiphy, struct net_device *ndev,
		 struct cfg80211_ap_settings *settings);
int esp_change_beacon(struct wiphy *wiphy, struct net_device *ndev,
		      struct cfg80211_ap_update *update);
int esp_stop_ap(struct wiphy *wiphy, struct net_device *ndev,
		unsigned int link_id);
int esp_mgmt_tx(struct wiphy *wiphy, struct wireless_dev *wdev,
		struct cfg80211_mgmt_tx_params *params, u64 cookie);
int esp_probe_station(struct wiphy *wiphy, struct net_device *ndev,
		      const u8 *peer, u64 cookie);
void esp_mgmt_work(struct wiphy *wiphy, struct wiphy_work *work);

#endif /* ESP_HOSTED_CFG80211_H */

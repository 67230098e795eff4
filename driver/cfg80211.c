// SPDX-License-Identifier: GPL-2.0-only
/*
 * cfg80211: user space (or cfg80211 itself) runs authentication and
 * association, the firmware sends the frames.
 *
 * All state here is protected by the wiphy mutex. Operations wait for the
 * firmware's response with that mutex held; events are handled with it as
 * well, so an event that overtakes the response is handled after the
 * operation.
 *
 * The firmware has one forwarding mask for management frames, which every scan
 * and every authentication replaces: the two must not overlap.
 */

#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/ieee80211.h>
#include <linux/rtnetlink.h>

#include "esp_hosted.h"

#define ESP_SCAN_TIMEOUT	(15 * HZ)
/* The firmware's own timers run about a second. */
#define ESP_MLME_TIMEOUT	(3 * HZ)
/* A disconnect event follows our own request within this time. */
#define ESP_SWALLOW_TIME	(2 * HZ)
/* Wi-Fi is really started a little after INIT_IF said so. */
#define ESP_START_RETRIES	5
#define ESP_START_RETRY_MS	50

#define ESP_TX_POWER_MIN	200	/* mBm */
#define ESP_TX_POWER_MAX	2000

#define ESP_SAE_CONFIRM		2

/* Management frames of the access point: firmware's own limit is five */
#define ESP_MGMT_TX_TIMEOUT	(6 * HZ)
#define ESP_MGMT_TX_QUEUE	16
/* Body bytes that identify a frame the firmware reports about */
#define ESP_MGMT_TX_BODY	16

#define ESP_BEACON_HEAD		(24 + 8 + 2)	/* up to the capabilities */

static const u32 esp_ciphers[] = {
	WLAN_CIPHER_SUITE_TKIP,
	WLAN_CIPHER_SUITE_CCMP,
	WLAN_CIPHER_SUITE_AES_CMAC,
};

static const struct ieee80211_rate esp_rates[] = {
	{ .bitrate = 10 },
	{ .bitrate = 20, .flags = IEEE80211_RATE_SHORT_PREAMBLE },
	{ .bitrate = 55, .flags = IEEE80211_RATE_SHORT_PREAMBLE },
	{ .bitrate = 110, .flags = IEEE80211_RATE_SHORT_PREAMBLE },
	{ .bitrate = 60 },
	{ .bitrate = 90 },
	{ .bitrate = 120 },
	{ .bitrate = 180 },
	{ .bitrate = 240 },
	{ .bitrate = 360 },
	{ .bitrate = 480 },
	{ .bitrate = 540 },
};

#define ESP_CCK_RATES	4

static const u8 esp_channels_5ghz[] = {
	36, 40, 44, 48, 52, 56, 60, 64, 100, 104, 108, 112, 116, 120, 124, 128,
	132, 136, 140, 144, 149, 153, 157, 161, 165, 169, 173, 177,
};

static struct esp_hosted *esp_from_wiphy(struct wiphy *wiphy)
{
	return *(struct esp_hosted **)wiphy_priv(wiphy);
}

/* Station state */

/**
 * esp_sta_wait - start or stop waiting for the access point
 * @vif: the interface, wiphy mutex held
 * @on: start
 */
void esp_sta_wait(struct esp_vif *vif, bool on)
{
	struct wiphy *wiphy = vif->esp->wiphy;

	vif->sta.waiting = on;
	esp_link_expect(&vif->esp->link, ESP_EXPECT_MLME, on);
	if (on) {
		wiphy_delayed_work_queue(wiphy, &vif->sta.timeout,
					 ESP_MLME_TIMEOUT);
		esp_link_kick(&vif->esp->link);
	} else {
		wiphy_delayed_work_cancel(wiphy, &vif->sta.timeout);
	}
}

/**
 * esp_sta_end - forget the session
 * @vif: the interface, wiphy mutex held
 *
 * Reports nothing. A reference to a BSS has to be passed on before.
 */
void esp_sta_end(struct esp_vif *vif)
{
	esp_sta_wait(vif, false);
	vif->sta.state = ESP_STA_IDLE;
	vif->sta.assoc_seq = 0;
	vif->sta.auth_seq = 0;
	esp_netdev_set_carrier(vif, false);
}

/**
 * esp_sta_fail - the access point did not answer
 * @vif: the interface, wiphy mutex held
 *
 * Ends an authentication or association under way and reports it.
 */
void esp_sta_fail(struct esp_vif *vif)
{
	struct cfg80211_assoc_failure failure = { .timeout = true };
	enum esp_sta_state state = vif->sta.state;
	bool waiting = vif->sta.waiting;

	failure.bss[0] = vif->sta.bss;
	vif->sta.bss = NULL;
	esp_sta_end(vif);
	if (state == ESP_STA_ASSOC && failure.bss[0])
		cfg80211_assoc_failure(vif->ndev, &failure);
	else if (state == ESP_STA_AUTH && waiting)
		cfg80211_auth_timeout(vif->ndev, vif->sta.bssid);
}

/**
 * esp_sta_report_lost - the session is over: end it and report it
 * @vif: the interface, wiphy mutex held, no association request under way
 * @reason: 802.11 reason code
 * @from_ap: the access point's doing
 *
 * cfg80211 wants the deauthentication frame, which the firmware keeps for
 * itself.
 */
void esp_sta_report_lost(struct esp_vif *vif, u16 reason, bool from_ap)
{
	struct net_device *ndev = vif->ndev;
	struct {
		struct ieee80211_hdr_3addr hdr;
		__le16 reason;
	} __packed __aligned(2) frame = {};

	esp_sta_end(vif);
	frame.hdr.frame_control = cpu_to_le16(IEEE80211_FTYPE_MGMT |
					      IEEE80211_STYPE_DEAUTH);
	memcpy(frame.hdr.addr1, from_ap ? ndev->dev_addr : vif->sta.bssid,
	       ETH_ALEN);
	memcpy(frame.hdr.addr2, from_ap ? vif->sta.bssid : ndev->dev_addr,
	       ETH_ALEN);
	memcpy(frame.hdr.addr3, vif->sta.bssid, ETH_ALEN);
	frame.reason = cpu_to_le16(reason);

	if (from_ap)
		cfg80211_rx_mlme_mgmt(ndev, (u8 *)&frame, sizeof(frame));
	else
		cfg80211_tx_mlme_mgmt(ndev, (u8 *)&frame, sizeof(frame), false);
}

/* Report whatever kind of session there was as over. */
static void esp_sta_abort(struct esp_vif *vif)
{
	switch (vif->sta.state) {
	case ESP_STA_IDLE:
		break;
	case ESP_STA_CONNECTED:
		esp_sta_report_lost(vif, WLAN_REASON_UNSPECIFIED, false);
		break;
	default:
		esp_sta_fail(vif);
		break;
	}
}

/**
 * esp_cfg80211_disconnect - have the firmware leave its access point
 * @vif: the interface, wiphy mutex held
 * @reason: 802.11 reason code
 *
 * The firmware confirms with an event that must not be taken for a loss of the
 * next connection.
 *
 * Return: 0, also if there was no session; else as esp_cmd_exec()
 */
int esp_cfg80211_disconnect(struct esp_vif *vif, u16 reason)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_DISCONNECT,
		.if_type = ESP_IF_STA,
	};
	struct esp_hosted *esp = vif->esp;
	struct esp_req_disconnect req = {
		.reason = cpu_to_le16(reason),
	};
	struct esp_sta *sta = &vif->sta;
	int err;

	memcpy(req.mac, sta->bssid, ETH_ALEN);
	err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (err == -EIO && esp->gen == ESP_GEN_2)
		return 0;
	if (err)
		return err;

	if (esp->gen == ESP_GEN_2) {
		sta->disconnect_seq = cmd.seq;
	} else {
		sta->swallow = true;
		sta->swallow_until = jiffies + ESP_SWALLOW_TIME;
		memcpy(sta->swallow_bssid, sta->bssid, ETH_ALEN);
	}

	return 0;
}

static void esp_sta_timeout(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_vif *vif = container_of(work, struct esp_vif,
					   sta.timeout.work);

	if (!vif->sta.waiting)
		return;
	esp_count(vif->esp, ESP_STAT_MLME_TIMEOUTS);
	/* Whatever the firmware still tries, it is over. */
	if (esp_running(vif->esp))
		esp_cfg80211_disconnect(vif, WLAN_REASON_DEAUTH_LEAVING);
	esp_sta_fail(vif);
}

/* Scanning */

/**
 * esp_scan_finish - report the end of a scan
 * @vif: the interface, wiphy mutex held
 * @aborted: results are incomplete
 */
void esp_scan_finish(struct esp_vif *vif, bool aborted)
{
	struct cfg80211_scan_info info = { .aborted = aborted };
	struct cfg80211_scan_request *request = vif->scan.request;

	if (!request)
		return;
	vif->scan.request = NULL;
	esp_link_expect(&vif->esp->link, ESP_EXPECT_SCAN, false);
	wiphy_delayed_work_cancel(vif->esp->wiphy, &vif->scan.watchdog);
	cfg80211_scan_done(request, &info);
}

static void esp_scan_watchdog(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_vif *vif = container_of(work, struct esp_vif,
					   scan.watchdog.work);

	if (!vif->scan.request)
		return;
	if (!vif->scan.ended)
		esp_count(vif->esp, ESP_STAT_SCAN_TIMEOUTS);
	esp_scan_finish(vif, !vif->scan.ended);
}

static int esp_scan(struct wiphy *wiphy, struct cfg80211_scan_request *request)
{
	struct esp_cmd cmd = { .code = ESP_CMD_SCAN, .if_type = ESP_IF_STA };
	struct esp_hosted *esp = esp_from_wiphy(wiphy);
	struct esp_vif *vif = esp->vif;
	struct esp_req_scan req = {};
	unsigned int tries = 0;
	int err;

	/* See above: an answer to an authentication would be lost. */
	if (vif->scan.request || vif->sta.waiting)
		return -EBUSY;
	/* A name with a NUL in it cannot be sent; results are the same. */
	if (request->n_ssids && request->ssids[0].ssid_len <= ESP_SSID_LEN &&
	    !memchr(request->ssids[0].ssid, 0, request->ssids[0].ssid_len))
		memcpy(req.ssid, request->ssids[0].ssid,
		       request->ssids[0].ssid_len);
	if (request->n_channels == 1)
		req.channel = request->channels[0]->hw_value;

	for (;;) {
		err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
		if (err != -EIO || ++tries == ESP_START_RETRIES)
			break;
		msleep(ESP_START_RETRY_MS);
	}
	if (err)
		return err;

	vif->scan.request = request;
	vif->scan.ended = false;
	esp_link_expect(&esp->link, ESP_EXPECT_SCAN, true);
	esp_link_kick(&esp->link);
	wiphy_delayed_work_queue(wiphy, &vif->scan.watchdog, ESP_SCAN_TIMEOUT);

	return 0;
}

/* Authentication and association */

static int esp_send_auth(struct esp_vif *vif, struct cfg80211_auth_request *req,
			 u8 alg)
{
	struct esp_cmd cmd = { .code = ESP_CMD_STA_AUTH, .if_type = ESP_IF_STA };
	struct esp_req_auth auth = { .alg = alg };
	const struct element *ssid;
	int err;

	memcpy(auth.bssid, req->bss->bssid, ETH_ALEN);
	auth.channel = req->bss->channel->hw_value;
	auth.data_len = req->auth_data_len;
	rcu_read_lock();
	ssid = ieee80211_bss_get_elem(req->bss, WLAN_EID_SSID);
	if (ssid && ssid->datalen <= ESP_SSID_LEN)
		memcpy(auth.ssid, ssid->data, ssid->datalen);
	rcu_read_unlock();

	err = esp_cmd_exec(vif->esp, &cmd, &auth, sizeof(auth), req->auth_data,
			   req->auth_data_len);
	if (!err)
		vif->sta.auth_seq = cmd.seq;

	return err;
}

static int esp_auth(struct wiphy *wiphy, struct net_device *ndev,
		    struct cfg80211_auth_request *req)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_sta *sta = &vif->sta;
	bool confirm = false;
	u8 alg;
	int err;

	if (req->link_id >= 0 || req->ie_len)
		return -EOPNOTSUPP;
	switch (req->auth_type) {
	case NL80211_AUTHTYPE_OPEN_SYSTEM:
		alg = ESP_AUTH_OPEN;
		break;
	case NL80211_AUTHTYPE_SAE:
		alg = ESP_AUTH_SAE;
		if (req->auth_data_len < 4)
			return -EINVAL;
		confirm = get_unaligned_le16(req->auth_data) == ESP_SAE_CONFIRM;
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (req->auth_data_len > ESP_AUTH_DATA_MAX)
		return -EINVAL;
	if (vif->scan.request)
		return -EBUSY;
	if (confirm && (sta->state != ESP_STA_AUTH ||
			!ether_addr_equal(sta->bssid, req->bss->bssid)))
		return -ENOTCONN;

	/* One session at a time: a move to another access point starts anew. */
	if (sta->state == ESP_STA_CONNECTED) {
		err = esp_cfg80211_disconnect(vif, WLAN_REASON_DEAUTH_LEAVING);
		if (err)
			return err;
		esp_sta_report_lost(vif, WLAN_REASON_DEAUTH_LEAVING, false);
	} else if (sta->state == ESP_STA_ASSOC) {
		return -EBUSY;
	}

	err = esp_send_auth(vif, req, alg);
	if (err == -EBUSY) {
		/* An earlier attempt still runs inside the firmware. */
		err = esp_cfg80211_disconnect(vif, WLAN_REASON_DEAUTH_LEAVING);
		if (!err)
			err = esp_send_auth(vif, req, alg);
	}
	if (err)
		return err;

	if (!confirm) {
		vif->scan.noise = true;
		vif->scan.noise_until = jiffies + ESP_MLME_TIMEOUT;
	}
	sta->state = ESP_STA_AUTH;
	ether_addr_copy(sta->bssid, req->bss->bssid);
	esp_sta_wait(vif, true);

	return 0;
}

static int esp_assoc(struct wiphy *wiphy, struct net_device *ndev,
		     struct cfg80211_assoc_request *req)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_STA_ASSOC,
		.if_type = ESP_IF_STA,
	};
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_sta *sta = &vif->sta;
	struct esp_req_assoc assoc = {};
	int err;

	if (req->link_id >= 0)
		return -EOPNOTSUPP;
	if (req->ie_len > ESP_ASSOC_IE_MAX)
		return -EINVAL;
	if (sta->state != ESP_STA_AUTH || sta->waiting ||
	    !ether_addr_equal(sta->bssid, req->bss->bssid))
		return -ENOTCONN;
	if (vif->scan.request)
		return -EBUSY;

	assoc.ie_len = req->ie_len;
	if (vif->esp->gen == ESP_GEN_2) {
		assoc.reassoc = !!req->prev_bssid;
		assoc.control_port = req->crypto.control_port;
	}
	err = esp_cmd_exec(vif->esp, &cmd, &assoc, sizeof(assoc), req->ie,
			   req->ie_len);
	if (err)
		return err;

	sta->assoc_seq = cmd.seq;
	sta->state = ESP_STA_ASSOC;
	/* cfg80211 holds a reference for us until the result is reported. */
	sta->bss = req->bss;
	esp_sta_wait(vif, true);

	return 0;
}

static int esp_leave(struct esp_vif *vif, const u8 *bssid, u16 reason,
		     bool local)
{
	struct esp_sta *sta = &vif->sta;
	int err = 0;

	if (sta->state == ESP_STA_IDLE || !ether_addr_equal(sta->bssid, bssid))
		return -ENOTCONN;

	/* There is no way to leave without telling the access point. */
	if (esp_running(vif->esp))
		err = esp_cfg80211_disconnect(vif, reason);
	if (err)
		netdev_dbg(vif->ndev, "cannot tell the access point: %d\n",
			   err);
	/* The session is over either way, and reported exactly once. */
	if (sta->state == ESP_STA_ASSOC)
		esp_sta_fail(vif);
	else if (sta->state != ESP_STA_IDLE)
		esp_sta_report_lost(vif, reason, false);

	return 0;
}

static int esp_deauth(struct wiphy *wiphy, struct net_device *ndev,
		      struct cfg80211_deauth_request *req)
{
	return esp_leave(netdev_priv(ndev), req->bssid, req->reason_code,
			 req->local_state_change);
}

/* The firmware can only deauthenticate, so that is what is reported. */
static int esp_disassoc(struct wiphy *wiphy, struct net_device *ndev,
			struct cfg80211_disassoc_request *req)
{
	return esp_leave(netdev_priv(ndev), req->ap_addr, req->reason_code,
			 req->local_state_change);
}

/* Stations */

static void esp_fill_station(struct esp_vif *vif, struct station_info *sinfo)
{
	struct esp_cmd cmd = { .code = ESP_CMD_STA_RSSI, .if_type = ESP_IF_STA };
	struct rtnl_link_stats64 stats = {};
	struct esp_sta *sta = &vif->sta;
	struct esp_req_u32 req = {};
	s8 rssi = 0;

	cmd.resp = &rssi;
	cmd.resp_size = sizeof(rssi);
	if (!esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0) &&
	    cmd.resp_len && rssi < 0)
		sta->signal = rssi;
	if (sta->signal) {
		sinfo->signal = sta->signal;
		sinfo->filled |= BIT_ULL(NL80211_STA_INFO_SIGNAL);
	}

	esp_netdev_stats(vif, &stats);
	sinfo->rx_packets = stats.rx_packets - sta->rx_packets;
	sinfo->rx_bytes = stats.rx_bytes - sta->rx_bytes;
	sinfo->tx_packets = stats.tx_packets - sta->tx_packets;
	sinfo->tx_bytes = stats.tx_bytes - sta->tx_bytes;
	sinfo->connected_time = ktime_get_boottime_seconds() -
				sta->connected_since;
	sinfo->txrate = sta->rate;
	sinfo->bss_param.beacon_interval = sta->beacon_interval;
	sinfo->bss_param.dtim_period = sta->dtim_period;
	sinfo->filled |= BIT_ULL(NL80211_STA_INFO_RX_PACKETS) |
			 BIT_ULL(NL80211_STA_INFO_RX_BYTES64) |
			 BIT_ULL(NL80211_STA_INFO_TX_PACKETS) |
			 BIT_ULL(NL80211_STA_INFO_TX_BYTES64) |
			 BIT_ULL(NL80211_STA_INFO_CONNECTED_TIME) |
			 BIT_ULL(NL80211_STA_INFO_TX_BITRATE) |
			 BIT_ULL(NL80211_STA_INFO_BSS_PARAM);
}

/* Index of a station in the access point's table; of a free entry for zero. */
static int esp_ap_find(const struct esp_vif *vif, const u8 *mac)
{
	unsigned int i;

	for (i = 0; i < ESP_AP_STATIONS; i++) {
		if (!memcmp(vif->ap.stations[i], mac, ETH_ALEN))
			return i;
	}

	return -ENOENT;
}

/* The firmware says nothing about its stations but that they are there. */
static void esp_ap_fill_station(const struct esp_vif *vif, int index,
				struct station_info *sinfo)
{
	sinfo->sta_flags.mask = BIT(NL80211_STA_FLAG_AUTHORIZED);
	sinfo->sta_flags.set = vif->ap.flags[index] & sinfo->sta_flags.mask;
	sinfo->filled |= BIT_ULL(NL80211_STA_INFO_STA_FLAGS);
}

static int esp_get_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			   const u8 *mac, struct station_info *sinfo)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	int index;

	if (wdev->iftype == NL80211_IFTYPE_AP) {
		index = esp_ap_find(vif, mac);
		if (index < 0)
			return index;
		esp_ap_fill_station(vif, index, sinfo);
		return 0;
	}
	if (vif->sta.state != ESP_STA_CONNECTED ||
	    !ether_addr_equal(mac, vif->sta.bssid))
		return -ENOENT;
	esp_fill_station(vif, sinfo);

	return 0;
}

static int esp_dump_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			    int idx, u8 *mac, struct station_info *sinfo)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	unsigned int i;

	if (wdev->iftype == NL80211_IFTYPE_AP) {
		for (i = 0; i < ESP_AP_STATIONS; i++) {
			if (is_zero_ether_addr(vif->ap.stations[i]) || idx--)
				continue;
			ether_addr_copy(mac, vif->ap.stations[i]);
			esp_ap_fill_station(vif, i, sinfo);
			return 0;
		}
		return -ENOENT;
	}
	if (idx || vif->sta.state != ESP_STA_CONNECTED)
		return -ENOENT;
	ether_addr_copy(mac, vif->sta.bssid);
	esp_fill_station(vif, sinfo);

	return 0;
}

/* Generation 1 opens the port by itself when the group key is installed. */
static int esp_set_authorized(struct esp_vif *vif, bool authorized)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_SET_AUTHORIZED,
		.if_type = ESP_IF_STA,
	};
	struct esp_req_authorized req = { .authorized = authorized };
	unsigned int tries = 0;
	int err;

	if (vif->esp->gen != ESP_GEN_2)
		return 0;

	memcpy(req.bssid, vif->sta.bssid, ETH_ALEN);
	for (;;) {
		err = esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
		if (err != -EBUSY || ++tries == ESP_START_RETRIES)
			return err;
		msleep(ESP_START_RETRY_MS);
	}
}

static void esp_station_caps(struct esp_req_station *req,
			     const struct link_station_parameters *link)
{
	size_t len;

	if (link->supported_rates_len) {
		req->rates[0] = WLAN_EID_SUPP_RATES;
		req->rates[1] = sizeof(req->rates) - 2;
		len = min_t(size_t, link->supported_rates_len, req->rates[1]);
		memcpy(req->rates + 2, link->supported_rates, len);
	}
	if (link->ht_capa) {
		req->ht[0] = WLAN_EID_HT_CAPABILITY;
		req->ht[1] = sizeof(*link->ht_capa);
		memcpy(req->ht + 2, link->ht_capa, sizeof(*link->ht_capa));
	}
	if (link->vht_capa) {
		req->vht[0] = WLAN_EID_VHT_CAPABILITY;
		req->vht[1] = sizeof(*link->vht_capa);
		memcpy(req->vht + 2, link->vht_capa, sizeof(*link->vht_capa));
	}
	if (link->he_capa && link->he_capa_len) {
		req->he[0] = WLAN_EID_EXTENSION;
		req->he[1] = sizeof(req->he) - 2;
		req->he[2] = WLAN_EID_EXT_HE_CAPABILITY;
		len = min_t(size_t, link->he_capa_len, sizeof(req->he) - 3);
		memcpy(req->he + 3, link->he_capa, len);
	}
}

static int esp_send_station(struct esp_vif *vif, u16 op, const u8 *mac,
			    const struct station_parameters *params)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_AP_STATION,
		.if_type = ESP_IF_AP,
	};
	struct esp_req_station req = {
		.op = cpu_to_le16(op),
		.flags_mask = cpu_to_le32(params->sta_flags_mask),
		.flags_set = cpu_to_le32(params->sta_flags_set),
		.modify_mask = cpu_to_le32(params->sta_modify_mask),
		.aid = cpu_to_le16(params->aid),
	};

	BUILD_BUG_ON(sizeof(req.ht) - 2 != sizeof(struct ieee80211_ht_cap));
	BUILD_BUG_ON(sizeof(req.vht) - 2 != sizeof(struct ieee80211_vht_cap));

	memcpy(req.mac, mac, ETH_ALEN);
	if (params->listen_interval > 0)
		req.listen_interval = cpu_to_le32(params->listen_interval);
	if (params->ext_capab_len)
		memcpy(req.ext_capab, params->ext_capab,
		       min_t(size_t, params->ext_capab_len, 4));
	if (op == ESP_STATION_ADD)
		esp_station_caps(&req, &params->link_sta_params);

	return esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
}

static int esp_add_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			   const u8 *mac, struct station_parameters *params)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	static const u8 none[ETH_ALEN];
	int index, err;

	if (wdev->iftype != NL80211_IFTYPE_AP)
		return -EOPNOTSUPP;
	index = esp_ap_find(vif, mac);
	if (index >= 0)
		return -EEXIST;
	index = esp_ap_find(vif, none);
	if (index < 0)
		return -ENOSPC;

	err = esp_send_station(vif, ESP_STATION_ADD, mac, params);
	if (err)
		return err;
	ether_addr_copy(vif->ap.stations[index], mac);
	vif->ap.flags[index] = params->sta_flags_set;

	return 0;
}

/* Removing a station is a disconnect in the access-point role. */
static int esp_ap_remove(struct esp_vif *vif, int index, u16 reason)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_DISCONNECT,
		.if_type = ESP_IF_AP,
	};
	struct esp_req_disconnect req = {
		.reason = cpu_to_le16(reason ?: WLAN_REASON_UNSPECIFIED),
	};
	int err;

	memcpy(req.mac, vif->ap.stations[index], ETH_ALEN);
	eth_zero_addr(vif->ap.stations[index]);
	vif->ap.flags[index] = 0;
	err = esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);

	/* It may have left by itself. */
	return err == -EIO ? 0 : err;
}

static int esp_del_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			   struct station_del_parameters *params)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	int index, err, first_err = 0;

	if (wdev->iftype != NL80211_IFTYPE_AP)
		return -EOPNOTSUPP;
	if (params->mac) {
		index = esp_ap_find(vif, params->mac);
		if (index < 0)
			return index;
		return esp_ap_remove(vif, index, params->reason_code);
	}
	for (index = 0; index < ESP_AP_STATIONS; index++) {
		if (is_zero_ether_addr(vif->ap.stations[index]))
			continue;
		err = esp_ap_remove(vif, index, params->reason_code);
		if (!first_err)
			first_err = err;
	}

	return first_err;
}

static int esp_ap_change_station(struct esp_vif *vif, const u8 *mac,
				 struct station_parameters *params)
{
	int index = esp_ap_find(vif, mac);
	int err = 0;

	if (index < 0)
		return index;
	/* The firmware can open a station's port and nothing else. */
	if (params->sta_flags_mask & params->sta_flags_set &
	    BIT(NL80211_STA_FLAG_AUTHORIZED))
		err = esp_send_station(vif, ESP_STATION_CHANGE, mac, params);
	if (!err) {
		vif->ap.flags[index] &= ~params->sta_flags_mask;
		vif->ap.flags[index] |= params->sta_flags_mask &
					params->sta_flags_set;
	}

	return err;
}

static int esp_change_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			      const u8 *mac, struct station_parameters *params)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);

	if (wdev->iftype == NL80211_IFTYPE_AP)
		return esp_ap_change_station(vif, mac, params);
	if (vif->sta.state != ESP_STA_CONNECTED ||
	    !ether_addr_equal(mac, vif->sta.bssid))
		return -ENOENT;
	if (!(params->sta_flags_mask & BIT(NL80211_STA_FLAG_AUTHORIZED)))
		return 0;

	return esp_set_authorized(vif, params->sta_flags_set &
				       BIT(NL80211_STA_FLAG_AUTHORIZED));
}

/* Keys */

static int esp_key_alg(u32 cipher)
{
	switch (cipher) {
	case WLAN_CIPHER_SUITE_TKIP:
		return ESP_KEY_TKIP;
	case WLAN_CIPHER_SUITE_CCMP:
		return ESP_KEY_CCMP;
	case WLAN_CIPHER_SUITE_AES_CMAC:
		return ESP_KEY_IGTK;
	default:
		return -EOPNOTSUPP;
	}
}

static int esp_add_key(struct wiphy *wiphy, struct wireless_dev *wdev,
		       int link_id, u8 index, bool pairwise, const u8 *mac,
		       struct key_params *params)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	struct esp_cmd cmd = { .code = ESP_CMD_ADD_KEY };
	struct esp_req_key req = {};
	int alg, err;

	alg = esp_key_alg(params->cipher);
	if (alg < 0)
		return alg;
	/* On the wire the index alone tells pairwise from group keys. */
	if (pairwise != !index)
		return -EOPNOTSUPP;
	if (params->key_len <= 0 || params->key_len > ESP_KEY_LEN ||
	    params->seq_len < 0 ||
	    params->seq_len > (alg == ESP_KEY_IGTK ? 6 : ESP_KEY_SEQ_LEN))
		return -EINVAL;
	if (pairwise && !mac)
		return -EINVAL;

	req.alg = cpu_to_le32(alg);
	req.index = cpu_to_le32(index);
	req.key_len = cpu_to_le32(params->key_len);
	req.seq_len = cpu_to_le32(params->seq_len);
	req.set_current = pairwise;
	memcpy(req.key, params->key, params->key_len);
	/* cfg80211 has the transmit Michael key first, the firmware last. */
	if (alg == ESP_KEY_TKIP && params->key_len == 32) {
		memcpy(req.key + 16, params->key + 24, 8);
		memcpy(req.key + 24, params->key + 16, 8);
	}
	if (params->seq_len)
		memcpy(req.seq, params->seq, params->seq_len);
	if (pairwise)
		memcpy(req.mac, mac, ETH_ALEN);

	cmd.if_type = esp_vif_if_type(vif);
	err = esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
	memzero_explicit(&req, sizeof(req));

	return err;
}

/*
 * No firmware forgets a key when told to; generation 1 has never been told and
 * keys end with the session there.
 */
static int esp_del_key(struct wiphy *wiphy, struct wireless_dev *wdev,
		       int link_id, u8 index, bool pairwise, const u8 *mac)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	struct esp_cmd cmd = { .code = ESP_CMD_DEL_KEY };
	struct esp_req_key req = { .del = 1 };

	if (vif->esp->gen != ESP_GEN_2 || !esp_running(vif->esp))
		return 0;
	req.index = cpu_to_le32(index);
	if (pairwise && mac)
		memcpy(req.mac, mac, ETH_ALEN);
	cmd.if_type = esp_vif_if_type(vif);

	return esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
}

static int esp_set_default_key(struct wiphy *wiphy, struct net_device *ndev,
			       int link_id, u8 index, bool unicast,
			       bool multicast)
{
	struct esp_cmd cmd = { .code = ESP_CMD_SET_DEFAULT_KEY };
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_req_key req = { .set_current = 1 };

	req.index = cpu_to_le32(index);
	cmd.if_type = esp_vif_if_type(vif);

	return esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
}

/* The firmware uses the management key it was given last. */
static int esp_set_default_mgmt_key(struct wiphy *wiphy,
				    struct wireless_dev *wdev, int link_id,
				    u8 index)
{
	return 0;
}

/* Access point */

static int esp_set_mode(struct esp_hosted *esp, u16 mode)
{
	struct esp_cmd cmd = { .code = ESP_CMD_SET_MODE };
	struct esp_req_mode req = { .mode = cpu_to_le16(mode) };
	int err;

	/* Requests name the role that is in force. */
	cmd.if_type = esp->mode == ESP_MODE_APSTA ? ESP_IF_AP : ESP_IF_STA;
	err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (err)
		return err;
	esp->mode = mode;
	set_bit(ESP_FLAG_WIFI_STARTED, &esp->flags);

	return 0;
}

static int esp_start_ap_mode(struct esp_hosted *esp)
{
	int err;

	if (esp->mode == ESP_MODE_APSTA) {
		if (test_bit(ESP_FLAG_WIFI_STARTED, &esp->flags))
			return 0;
		/* Setting the mode it has does not start Wi-Fi everywhere. */
		err = esp_set_mode(esp, ESP_MODE_STA);
		if (err)
			return err;
	}

	return esp_set_mode(esp, ESP_MODE_APSTA);
}

static int esp_set_ie(struct esp_hosted *esp, u8 type, const u8 *data,
		      size_t len)
{
	struct esp_cmd cmd = { .code = ESP_CMD_SET_IE, .if_type = ESP_IF_AP };
	struct esp_req_ie req = { .type = type };

	if (len > ESP_TX_PAYLOAD_MAX - sizeof(req))
		return -EINVAL;
	req.len = cpu_to_le16(len);

	return esp_cmd_exec(esp, &cmd, &req, sizeof(req), data, len);
}

static int esp_set_beacon(struct esp_hosted *esp,
			  const struct cfg80211_beacon_data *beacon)
{
	const u8 *head = NULL;
	size_t head_len = 0;
	int err;

	/* The firmware writes the fixed fields before the capabilities. */
	if (beacon->head) {
		if (beacon->head_len < ESP_BEACON_HEAD + 2)
			return -EINVAL;
		head = beacon->head + ESP_BEACON_HEAD;
		head_len = beacon->head_len - ESP_BEACON_HEAD;
	}

	/* An empty one clears what an earlier beacon had. */
	err = esp_set_ie(esp, ESP_IE_HEAD, head, head_len);
	if (!err)
		err = esp_set_ie(esp, ESP_IE_TAIL, beacon->tail,
				 beacon->tail_len);
	if (!err)
		err = esp_set_ie(esp, ESP_IE_BEACON, beacon->beacon_ies,
				 beacon->beacon_ies_len);
	if (!err)
		err = esp_set_ie(esp, ESP_IE_PROBE_RESP,
				 beacon->proberesp_ies,
				 beacon->proberesp_ies_len);
	if (!err)
		err = esp_set_ie(esp, ESP_IE_ASSOC_RESP,
				 beacon->assocresp_ies,
				 beacon->assocresp_ies_len);

	return err;
}

static int esp_start_ap(struct wiphy *wiphy, struct net_device *ndev,
			struct cfg80211_ap_settings *settings)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_AP_CONFIG,
		.if_type = ESP_IF_AP,
	};
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;
	struct esp_req_ap_config req = {};
	int err;

	if (!settings->ssid_len || settings->ssid_len > ESP_SSID_LEN ||
	    !settings->chandef.chan || !settings->beacon.head)
		return -EINVAL;
	if (settings->chandef.width > NL80211_CHAN_WIDTH_40)
		return -EOPNOTSUPP;

	memcpy(req.ssid, settings->ssid, settings->ssid_len);
	req.ssid_len = settings->ssid_len;
	req.channel = settings->chandef.chan->hw_value;
	req.hidden = settings->hidden_ssid != NL80211_HIDDEN_SSID_NOT_IN_USE;
	req.max_connections = ESP_AP_STATIONS;
	req.beacon_interval = cpu_to_le16(settings->beacon_interval);
	req.inactivity_timeout = cpu_to_le16(settings->inactivity_timeout);
	req.privacy = settings->privacy;

	err = esp_start_ap_mode(esp);
	if (!err)
		err = esp_set_beacon(esp, &settings->beacon);
	if (!err)
		err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (err) {
		/* Not half an access point: without beacons, with elements. */
		if (esp_running(esp))
			esp_set_mode(esp, ESP_MODE_STA);
		return err;
	}
	vif->ap.started = true;
	esp_netdev_set_carrier(vif, true);

	return 0;
}

static int esp_change_beacon(struct wiphy *wiphy, struct net_device *ndev,
			     struct cfg80211_ap_update *update)
{
	struct esp_vif *vif = netdev_priv(ndev);

	return esp_set_beacon(vif->esp, &update->beacon);
}

/* Forget stations and frames of an access point that is no more. */
static void esp_ap_end(struct esp_vif *vif)
{
	struct esp_ap *ap = &vif->ap;

	esp_netdev_set_carrier(vif, false);
	ap->started = false;
	memset(ap->stations, 0, sizeof(ap->stations));
	memset(ap->flags, 0, sizeof(ap->flags));
	while (!skb_queue_empty(&ap->tx))
		esp_ap_tx_status(vif, esp_skb_cb(skb_peek(&ap->tx))->cookie,
				 false);
}

static int esp_stop_ap(struct wiphy *wiphy, struct net_device *ndev,
		       unsigned int link_id)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;
	int err = 0;

	esp_ap_end(vif);
	/* Leaving the mode is the only way to stop the beacons. */
	if (esp_running(esp))
		err = esp_set_mode(esp, ESP_MODE_STA);

	return err;
}

static int esp_change_virtual_intf(struct wiphy *wiphy,
				   struct net_device *ndev,
				   enum nl80211_iftype type,
				   struct vif_params *params)
{
	if (type != NL80211_IFTYPE_STATION && type != NL80211_IFTYPE_AP)
		return -EOPNOTSUPP;
	if (ndev->ieee80211_ptr->iftype == type)
		return 0;
	/* The firmware hears of it when the interface comes up. */
	if (netif_running(ndev))
		return -EBUSY;
	ndev->ieee80211_ptr->iftype = type;

	return 0;
}

/* Hand the next management frame to the firmware, one at a time. */
static void esp_ap_tx_next(struct esp_vif *vif)
{
	struct esp_hosted *esp = vif->esp;
	struct esp_ap *ap = &vif->ap;
	struct sk_buff *skb, *copy;
	int err;

	while (!ap->sent && (skb = skb_peek(&ap->tx))) {
		const struct esp_skb_cb *cb = esp_skb_cb(skb);

		/* Set before: generation 1 may answer at any time. */
		ap->sent = true;
		if (!esp_running(esp)) {
			err = -ENETDOWN;
		} else if (esp->gen == ESP_GEN_2) {
			struct esp_cmd cmd = {
				.code = ESP_CMD_MGMT_TX,
				.if_type = ESP_IF_AP,
				.option = ESP_MGMT_TX_MARK,
			};
			struct esp_mgmt_tx_g2 req = {
				.no_ack = cb->no_ack,
				.id = cpu_to_le64(cb->cookie),
				.len = cpu_to_le32(skb->len),
			};

			err = esp_cmd_exec(esp, &cmd, &req, sizeof(req),
					   skb->data, skb->len);
		} else {
			struct esp_mgmt_tx_g1 req = {
				.hdr.code = ESP_CMD_MGMT_TX,
				.no_ack = cb->no_ack,
				.len = cpu_to_le32(skb->len),
			};

			/* Answered when it was sent, other commands before. */
			copy = alloc_skb(sizeof(req) + skb->len, GFP_KERNEL);
			err = copy ? 0 : -ENOMEM;
			if (copy) {
				skb_put_data(copy, &req, sizeof(req));
				skb_put_data(copy, skb->data, skb->len);
				*esp_skb_cb(copy) = (struct esp_skb_cb) {
					.if_type = ESP_IF_AP,
					.pkt_type = ESP_PKT_COMMAND,
				};
				esp_link_send(&esp->link, &esp->link.control,
					      copy);
			}
		}
		if (err) {
			esp_ap_tx_status(vif, cb->cookie, false);
			continue;
		}
		esp_link_expect(&esp->link, ESP_EXPECT_TX_STATUS, true);
		wiphy_delayed_work_queue(esp->wiphy, &ap->timeout,
					 ESP_MGMT_TX_TIMEOUT);
	}
}

/**
 * esp_ap_tx_status - a management frame is done with
 * @vif: the interface, wiphy mutex held
 * @cookie: which; others than the first one are ignored
 * @ack: the station acknowledged it
 */
void esp_ap_tx_status(struct esp_vif *vif, u64 cookie, bool ack)
{
	struct sk_buff *skb = skb_peek(&vif->ap.tx);
	struct esp_ap *ap = &vif->ap;

	if (!skb || esp_skb_cb(skb)->cookie != cookie) {
		esp_count(vif->esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}
	skb_unlink(skb, &ap->tx);
	ap->sent = false;
	esp_link_expect(&vif->esp->link, ESP_EXPECT_TX_STATUS, false);
	wiphy_delayed_work_cancel(vif->esp->wiphy, &ap->timeout);
	/* Our own copy: what the firmware returns need not be the same. */
	if (esp_skb_cb(skb)->probe)
		esp_probe_status(vif->ndev, skb->data + 4, cookie, ack);
	else if (!esp_skb_cb(skb)->no_ack)
		cfg80211_mgmt_tx_status(&vif->wdev, cookie, skb->data,
					skb->len, ack, GFP_KERNEL);
	consume_skb(skb);
}

static bool esp_same_mgmt(const struct sk_buff *skb, const u8 *frame,
			  size_t len)
{
	const struct ieee80211_hdr_3addr *a = (const void *)skb->data;
	const struct ieee80211_hdr_3addr *b = (const void *)frame;
	size_t body;

	if (len < sizeof(*b) || skb->len < sizeof(*a))
		return false;
	body = min3(len - sizeof(*b), skb->len - sizeof(*a),
		    (size_t)ESP_MGMT_TX_BODY);

	return !((a->frame_control ^ b->frame_control) &
		 cpu_to_le16(IEEE80211_FCTL_FTYPE | IEEE80211_FCTL_STYPE)) &&
	       !memcmp(a->addr1, b->addr1, ETH_ALEN) &&
	       !memcmp(a + 1, b + 1, body);
}

/**
 * esp_ap_tx_response - generation 1 reports about a management frame
 * @vif: the interface, wiphy mutex held
 * @skb: response to MGMT_TX, asked for or not
 *
 * The firmware reports about its own frames in the same way; only the frame
 * itself tells.
 */
void esp_ap_tx_response(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_mgmt_tx_g1 *resp = (const void *)skb->data;
	struct sk_buff *first = skb_peek(&vif->ap.tx);
	u32 len;

	if (skb->len < sizeof(*resp)) {
		esp_count(vif->esp, ESP_STAT_RESP_MALFORMED);
		return;
	}
	len = le32_to_cpu(resp->len);
	if (len > skb->len - sizeof(*resp)) {
		esp_count(vif->esp, ESP_STAT_RESP_MALFORMED);
		return;
	}
	/* Without a frame it was refused, or a broadcast that went out. */
	if (!first || !vif->ap.sent ||
	    (len && !esp_same_mgmt(first, (const u8 *)(resp + 1), len))) {
		esp_count(vif->esp, ESP_STAT_RESP_UNEXPECTED);
		return;
	}
	esp_ap_tx_status(vif, esp_skb_cb(first)->cookie,
			 resp->hdr.status == ESP_STATUS_SUCCESS);
	esp_ap_tx_next(vif);
}

static void esp_ap_tx_timeout(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_vif *vif = container_of(work, struct esp_vif,
					   ap.timeout.work);
	struct sk_buff *skb = skb_peek(&vif->ap.tx);

	if (!skb || !vif->ap.sent)
		return;
	esp_count(vif->esp, ESP_STAT_MLME_TIMEOUTS);
	esp_ap_tx_status(vif, esp_skb_cb(skb)->cookie, false);
	esp_ap_tx_next(vif);
}

/* Used by compat.h where the core does not choose cookies. */
static u64 __maybe_unused esp_next_cookie(struct wiphy *wiphy)
{
	return ++esp_from_wiphy(wiphy)->cookie;
}

static int esp_mgmt_tx(struct wiphy *wiphy, struct wireless_dev *wdev,
		       struct cfg80211_mgmt_tx_params *params, u64 cookie)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	struct sk_buff *skb;

	if (wdev->iftype != NL80211_IFTYPE_AP || params->offchan)
		return -EOPNOTSUPP;
	if (!vif->ap.started)
		return -ENETDOWN;
	if (params->len < sizeof(struct ieee80211_hdr_3addr) ||
	    params->len > ESP_TX_PAYLOAD_MAX - sizeof(struct esp_mgmt_tx_g2))
		return -EINVAL;
	if (skb_queue_len(&vif->ap.tx) >= ESP_MGMT_TX_QUEUE)
		return -EBUSY;

	skb = alloc_skb(params->len, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	skb_put_data(skb, params->buf, params->len);
	*esp_skb_cb(skb) = (struct esp_skb_cb) {
		.no_ack = params->dont_wait_for_ack,
		.cookie = cookie,
	};
	skb_queue_tail(&vif->ap.tx, skb);
	wiphy_work_queue(wiphy, &vif->esp->mgmt_work);

	return 0;
}

/*
 * Is a station still there? The firmware sends no null frames for us, but a
 * public action frame of a vendor's kind does as well: a station acknowledges
 * it and has no further use for it.
 */
static int esp_probe_station(struct wiphy *wiphy, struct net_device *ndev,
			     const u8 *peer, u64 cookie)
{
	static const u8 body[] = {
		WLAN_CATEGORY_PUBLIC, WLAN_PUB_ACTION_VENDOR_SPECIFIC,
		0x18, 0xfe, 0x34, 0x00,
	};
	struct esp_vif *vif = netdev_priv(ndev);
	struct ieee80211_hdr_3addr *hdr;
	struct sk_buff *skb;

	if (esp_ap_find(vif, peer) < 0)
		return -ENOLINK;
	if (skb_queue_len(&vif->ap.tx) >= ESP_MGMT_TX_QUEUE)
		return -EBUSY;
	skb = alloc_skb(sizeof(*hdr) + sizeof(body), GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	hdr = skb_put_zero(skb, sizeof(*hdr));
	hdr->frame_control = cpu_to_le16(IEEE80211_FTYPE_MGMT |
					 IEEE80211_STYPE_ACTION);
	ether_addr_copy(hdr->addr1, peer);
	ether_addr_copy(hdr->addr2, ndev->dev_addr);
	ether_addr_copy(hdr->addr3, ndev->dev_addr);
	skb_put_data(skb, body, sizeof(body));
	*esp_skb_cb(skb) = (struct esp_skb_cb) {
		.probe = true,
		.cookie = cookie,
	};
	skb_queue_tail(&vif->ap.tx, skb);
	wiphy_work_queue(wiphy, &vif->esp->mgmt_work);

	return 0;
}

/* Not from mgmt_tx itself: user space wants the cookie before the status. */
static void esp_mgmt_work(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_hosted *esp = container_of(work, struct esp_hosted,
					      mgmt_work);

	esp_ap_tx_next(esp->vif);
}

static const struct ieee80211_txrx_stypes
esp_mgmt_stypes[NUM_NL80211_IFTYPES] = {
	[NL80211_IFTYPE_AP] = {
		.tx = 0xffff,
		.rx = BIT(IEEE80211_STYPE_ASSOC_REQ >> 4) |
		      BIT(IEEE80211_STYPE_REASSOC_REQ >> 4) |
		      BIT(IEEE80211_STYPE_PROBE_REQ >> 4) |
		      BIT(IEEE80211_STYPE_DISASSOC >> 4) |
		      BIT(IEEE80211_STYPE_AUTH >> 4) |
		      BIT(IEEE80211_STYPE_DEAUTH >> 4) |
		      BIT(IEEE80211_STYPE_ACTION >> 4),
	},
};

/* Radio */

static int esp_send_tx_power(struct esp_hosted *esp, int mbm)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_SET_TXPOWER,
		.if_type = ESP_IF_STA,
	};
	struct esp_req_u32 req = { .value = cpu_to_le32(mbm / 25) };

	return esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
}

static int esp_set_tx_power(struct wiphy *wiphy, struct wireless_dev *wdev,
			    int radio_idx, enum nl80211_tx_power_setting type,
			    int mbm)
{
	struct esp_hosted *esp = esp_from_wiphy(wiphy);
	int err;

	if (type == NL80211_TX_POWER_AUTOMATIC)
		mbm = ESP_TX_POWER_MAX;
	else if (type == NL80211_TX_POWER_LIMITED)
		mbm = min(mbm, ESP_TX_POWER_MAX);
	if (mbm < ESP_TX_POWER_MIN || mbm > ESP_TX_POWER_MAX)
		return -EINVAL;
	err = esp_send_tx_power(esp, mbm);
	if (!err)
		esp->tx_power = mbm;

	return err;
}

static int esp_get_tx_power(struct wiphy *wiphy, struct wireless_dev *wdev,
			    int radio_idx, unsigned int link_id, int *dbm)
{
	struct esp_hosted *esp = esp_from_wiphy(wiphy);
	struct esp_req_u32 req = {};
	s8 quarter_dbm;
	struct esp_cmd cmd = {
		.code = ESP_CMD_GET_TXPOWER,
		.if_type = ESP_IF_STA,
		.resp = &quarter_dbm,
		.resp_size = sizeof(quarter_dbm),
	};
	int err;

	err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (err)
		return err;
	if (!cmd.resp_len)
		return -EPROTO;
	*dbm = quarter_dbm / 4;

	return 0;
}

static int esp_send_country(struct esp_hosted *esp)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_SET_REGDOM,
		.if_type = ESP_IF_STA,
	};
	struct esp_req_country req = {};
	int err;

	spin_lock_bh(&esp->state_lock);
	memcpy(req.country, esp->country, sizeof(esp->country));
	spin_unlock_bh(&esp->state_lock);
	/* The world domain and cfg80211's own codes mean nothing to it. */
	if (!isalpha(req.country[0]) || !isalpha(req.country[1]) ||
	    !memcmp(req.country, esp->country_sent, sizeof(esp->country_sent)))
		return 0;

	err = esp_cmd_exec(esp, &cmd, &req, sizeof(req), NULL, 0);
	if (!err)
		memcpy(esp->country_sent, req.country,
		       sizeof(esp->country_sent));

	return err;
}

static void esp_regd_work(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_hosted *esp = container_of(work, struct esp_hosted,
					      regd_work);

	if (esp_running(esp) && esp_send_country(esp))
		dev_warn(esp->dev, "firmware refuses the regulatory domain\n");
}

/* Called by the regulatory core, which must not wait for the firmware. */
static void esp_reg_notifier(struct wiphy *wiphy,
			     struct regulatory_request *request)
{
	struct esp_hosted *esp = esp_from_wiphy(wiphy);

	spin_lock_bh(&esp->state_lock);
	memcpy(esp->country, request->alpha2, sizeof(esp->country));
	spin_unlock_bh(&esp->state_lock);
	wiphy_work_queue(wiphy, &esp->regd_work);
}

/* The parameters of some operations depend on the kernel. */
#define ESP_COMPAT_OPS
#include "compat.h"

static const struct cfg80211_ops esp_cfg80211_ops = {
	.change_virtual_intf = esp_change_virtual_intf,
	.scan = esp_scan,
	.auth = esp_auth,
	.assoc = esp_assoc,
	.deauth = esp_deauth,
	.disassoc = esp_disassoc,
	.get_station = ESP_OP(esp_get_station),
	.dump_station = ESP_OP(esp_dump_station),
	.add_station = ESP_OP(esp_add_station),
	.del_station = ESP_OP(esp_del_station),
	.change_station = ESP_OP(esp_change_station),
	.add_key = ESP_OP(esp_add_key),
	.del_key = ESP_OP(esp_del_key),
	.set_default_key = esp_set_default_key,
	.set_default_mgmt_key = ESP_OP(esp_set_default_mgmt_key),
	.start_ap = esp_start_ap,
	.change_beacon = ESP_OP_BEACON(esp_change_beacon),
	.stop_ap = esp_stop_ap,
	.mgmt_tx = ESP_OP_COOKIE(esp_mgmt_tx),
	.probe_peer = ESP_OP_COOKIE(esp_probe_station),
	.set_tx_power = ESP_OP_TXPOWER(esp_set_tx_power),
	.get_tx_power = ESP_OP_TXPOWER(esp_get_tx_power),
};

/**
 * esp_cfg80211_up - start Wi-Fi in the interface's role
 * @vif: the interface, wiphy mutex held, device running
 *
 * Return: as esp_cmd_exec()
 */
int esp_cfg80211_up(struct esp_vif *vif)
{
	u8 if_type = esp_vif_if_type(vif);
	struct esp_hosted *esp = vif->esp;
	int err = 0;

	if (if_type == ESP_IF_AP) {
		err = esp_start_ap_mode(esp);
	} else if (esp->mode != ESP_MODE_STA) {
		err = esp_set_mode(esp, ESP_MODE_STA);
	} else if (!test_bit(ESP_FLAG_WIFI_STARTED, &esp->flags)) {
		err = esp_cmd_simple(esp, ESP_CMD_INIT_IF, if_type);
		if (!err)
			set_bit(ESP_FLAG_WIFI_STARTED, &esp->flags);
	}
	/* Starting Wi-Fi brings the chip's own address back. */
	if (!err && vif->mac_changed)
		err = esp_cmd_set_mac(esp, if_type, vif->ndev->dev_addr);

	return err;
}

/* What was under way is over: tell cfg80211. */
static void esp_cfg80211_abort(struct esp_vif *vif)
{
	esp_scan_finish(vif, true);
	esp_sta_abort(vif);
	vif->scan.noise = false;
	vif->sta.swallow = false;
	if (vif->ap.started) {
		esp_ap_end(vif);
		cfg80211_stop_iface(vif->esp->wiphy, &vif->wdev, GFP_KERNEL);
	}
}

/**
 * esp_cfg80211_down - the interface goes down
 * @vif: the interface, wiphy mutex held
 *
 * Ends what is under way and stops Wi-Fi.
 */
void esp_cfg80211_down(struct esp_vif *vif)
{
	static const u8 init_again[5] = { 1, 0, 6, 0, 0 };
	struct esp_hosted *esp = vif->esp;

	esp_cfg80211_abort(vif);
	if (esp_running(esp) && esp->mode != ESP_MODE_STA)
		esp_set_mode(esp, ESP_MODE_STA);
	/* Firmware before 1.0.6 reboots when Wi-Fi is started a second time. */
	if (esp_running(esp) &&
	    !esp_version_before(esp->boot.version, init_again) &&
	    !esp_cmd_simple(esp, ESP_CMD_DEINIT_IF, ESP_IF_STA))
		clear_bit(ESP_FLAG_WIFI_STARTED, &esp->flags);
}

/**
 * esp_cfg80211_restarted - the firmware forgot everything
 * @esp: the device
 *
 * Ends scan and session towards cfg80211. State worker.
 */
void esp_cfg80211_restarted(struct esp_hosted *esp)
{
	wiphy_lock(esp->wiphy);
	skb_queue_purge(&esp->events);
	esp_cfg80211_abort(esp->vif);
	memset(esp->country_sent, 0, sizeof(esp->country_sent));
	wiphy_unlock(esp->wiphy);
}

/**
 * esp_cfg80211_replay - tell a restarted firmware what it should know
 * @esp: the device, running again
 *
 * State worker.
 *
 * Return: 0 or the first error
 */
int esp_cfg80211_replay(struct esp_hosted *esp)
{
	struct esp_vif *vif = esp->vif;
	int err = 0;

	wiphy_lock(esp->wiphy);
	if (READ_ONCE(vif->up))
		err = esp_cfg80211_up(vif);
	if (!err && esp->tx_power)
		err = esp_send_tx_power(esp, esp->tx_power);
	if (!err)
		err = esp_send_country(esp);
	wiphy_unlock(esp->wiphy);

	return err;
}

static void esp_setup_2ghz(struct esp_hosted *esp)
{
	struct ieee80211_supported_band *band = &esp->bands[NL80211_BAND_2GHZ];
	struct ieee80211_channel *chan;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(esp->channels_2ghz); i++) {
		chan = &esp->channels_2ghz[i];
		chan->band = NL80211_BAND_2GHZ;
		chan->hw_value = i + 1;
		chan->center_freq =
			ieee80211_channel_to_frequency(i + 1,
						       NL80211_BAND_2GHZ);
		chan->max_power = MBM_TO_DBM(ESP_TX_POWER_MAX);
	}
	band->band = NL80211_BAND_2GHZ;
	band->channels = esp->channels_2ghz;
	band->n_channels = ARRAY_SIZE(esp->channels_2ghz);
	band->bitrates = esp->rates;
	band->n_bitrates = ARRAY_SIZE(esp_rates);
}

static void esp_setup_5ghz(struct esp_hosted *esp)
{
	struct ieee80211_supported_band *band = &esp->bands[NL80211_BAND_5GHZ];
	struct ieee80211_channel *chan;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(esp_channels_5ghz); i++) {
		chan = &esp->channels_5ghz[i];
		chan->band = NL80211_BAND_5GHZ;
		chan->hw_value = esp_channels_5ghz[i];
		chan->center_freq =
			ieee80211_channel_to_frequency(esp_channels_5ghz[i],
						       NL80211_BAND_5GHZ);
		chan->max_power = MBM_TO_DBM(ESP_TX_POWER_MAX);
	}
	band->band = NL80211_BAND_5GHZ;
	band->channels = esp->channels_5ghz;
	band->n_channels = ARRAY_SIZE(esp_channels_5ghz);
	band->bitrates = esp->rates + ESP_CCK_RATES;
	band->n_bitrates = ARRAY_SIZE(esp_rates) - ESP_CCK_RATES;
}

/* One spatial stream, 20 and 40 MHz */
static void esp_setup_ht(struct ieee80211_supported_band *band)
{
	struct ieee80211_sta_ht_cap *ht = &band->ht_cap;

	ht->ht_supported = true;
	ht->cap = IEEE80211_HT_CAP_SUP_WIDTH_20_40 | IEEE80211_HT_CAP_SGI_20 |
		  IEEE80211_HT_CAP_SGI_40;
	ht->ampdu_factor = IEEE80211_HT_MAX_AMPDU_16K;
	ht->ampdu_density = IEEE80211_HT_MPDU_DENSITY_8;
	ht->mcs.rx_mask[0] = 0xff;
	ht->mcs.tx_params = IEEE80211_HT_MCS_TX_DEFINED;
}

/* The regulatory core writes into bands: every device has its own. */
static void esp_setup_bands(struct esp_hosted *esp)
{
	BUILD_BUG_ON(ARRAY_SIZE(esp->rates) != ARRAY_SIZE(esp_rates));
	BUILD_BUG_ON(ARRAY_SIZE(esp->channels_5ghz) !=
		     ARRAY_SIZE(esp_channels_5ghz));

	memcpy(esp->rates, esp_rates, sizeof(esp_rates));
	esp_setup_2ghz(esp);
	esp_setup_ht(&esp->bands[NL80211_BAND_2GHZ]);
	esp->wiphy->bands[NL80211_BAND_2GHZ] = &esp->bands[NL80211_BAND_2GHZ];
	if (esp->boot.chip == ESP_CHIP_ESP32C5) {
		esp_setup_5ghz(esp);
		esp_setup_ht(&esp->bands[NL80211_BAND_5GHZ]);
		esp->wiphy->bands[NL80211_BAND_5GHZ] =
			&esp->bands[NL80211_BAND_5GHZ];
	}
}

static struct wiphy *esp_alloc_wiphy(struct esp_hosted *esp, const u8 *mac)
{
	struct wiphy *wiphy;

	wiphy = wiphy_new(&esp_cfg80211_ops, sizeof(esp));
	if (!wiphy)
		return NULL;
	*(struct esp_hosted **)wiphy_priv(wiphy) = esp;
	set_wiphy_dev(wiphy, esp->dev);
	ether_addr_copy(wiphy->perm_addr, mac);
	strscpy(wiphy->fw_version, esp->fw_version, sizeof(wiphy->fw_version));
	wiphy->hw_version = esp->boot.chip;
	wiphy->interface_modes = BIT(NL80211_IFTYPE_STATION) |
				 BIT(NL80211_IFTYPE_AP);
	wiphy->mgmt_stypes = esp_mgmt_stypes;
	wiphy->max_ap_assoc_sta = ESP_AP_STATIONS;
	wiphy->flags |= WIPHY_FLAG_NETNS_OK | WIPHY_FLAG_REPORTS_OBSS;
	/* The firmware decides about power saving, see its configuration. */
	wiphy->flags &= ~WIPHY_FLAG_PS_ON_BY_DEFAULT;
	wiphy->signal_type = CFG80211_SIGNAL_TYPE_MBM;
	wiphy->max_scan_ssids = 1;
	wiphy->cipher_suites = esp_ciphers;
	wiphy->n_cipher_suites = ARRAY_SIZE(esp_ciphers);
	wiphy->features = NL80211_FEATURE_SAE |
			  NL80211_FEATURE_INACTIVITY_TIMER |
			  NL80211_FEATURE_SK_TX_STATUS;
	wiphy->reg_notifier = esp_reg_notifier;

	return wiphy;
}

static int esp_register_vif(struct esp_hosted *esp, const u8 *mac)
{
	struct net_device *ndev;
	struct esp_vif *vif;
	int err;

	ndev = esp_netdev_alloc(esp);
	if (!ndev)
		return -ENOMEM;
	vif = netdev_priv(ndev);
	vif->wdev.wiphy = esp->wiphy;
	vif->wdev.netdev = ndev;
	vif->wdev.iftype = NL80211_IFTYPE_STATION;
	ndev->ieee80211_ptr = &vif->wdev;
	wiphy_delayed_work_init(&vif->sta.timeout, esp_sta_timeout);
	wiphy_delayed_work_init(&vif->scan.watchdog, esp_scan_watchdog);
	wiphy_delayed_work_init(&vif->ap.timeout, esp_ap_tx_timeout);
	skb_queue_head_init(&vif->ap.tx);
	if (is_valid_ether_addr(mac)) {
		eth_hw_addr_set(ndev, mac);
	} else {
		eth_hw_addr_random(ndev);
		vif->mac_changed = true;
		dev_warn(esp->dev, "firmware has no valid MAC address, using %pM\n",
			 ndev->dev_addr);
	}

	/* The link thread may use it from here on. */
	smp_store_release(&esp->vif, vif);

	rtnl_lock();
	wiphy_lock(esp->wiphy);
	err = cfg80211_register_netdevice(ndev);
	wiphy_unlock(esp->wiphy);
	rtnl_unlock();

	return err;
}

/**
 * esp_cfg80211_register - create the wiphy and its network interface
 * @esp: the device, running
 * @mac: address the firmware reported
 *
 * State worker, once in a device's life.
 *
 * Return: 0 or a negative errno; then the link is closed and nothing is left
 */
int esp_cfg80211_register(struct esp_hosted *esp, const u8 *mac)
{
	struct wiphy *wiphy;
	int err;

	wiphy_work_init(&esp->event_work, esp_event_work);
	wiphy_work_init(&esp->regd_work, esp_regd_work);
	wiphy_work_init(&esp->mgmt_work, esp_mgmt_work);
	wiphy = esp_alloc_wiphy(esp, mac);
	if (!wiphy)
		return -ENOMEM;
	esp->wiphy = wiphy;
	esp_setup_bands(esp);

	err = wiphy_register(wiphy);
	if (err)
		goto free;
	err = esp_register_vif(esp, mac);
	if (err)
		goto unregister;

	return 0;

unregister:
	esp_link_close(&esp->link);
	skb_queue_purge(&esp->events);
	wiphy_lock(wiphy);
	wiphy_work_cancel(wiphy, &esp->event_work);
	wiphy_work_cancel(wiphy, &esp->regd_work);
	wiphy_work_cancel(wiphy, &esp->mgmt_work);
	wiphy_unlock(wiphy);
	wiphy_unregister(wiphy);
	if (esp->vif)
		esp_netdev_free(esp->vif);
	esp->vif = NULL;
free:
	wiphy_free(wiphy);
	esp->wiphy = NULL;

	return err;
}

/**
 * esp_cfg80211_unregister - remove the interface and the wiphy
 * @esp: the device, being removed, no event under way
 *
 * Leaves the structures allocated: the link thread still runs.
 */
void esp_cfg80211_unregister(struct esp_hosted *esp)
{
	struct wiphy *wiphy = esp->wiphy;

	if (!wiphy)
		return;

	rtnl_lock();
	/* ndo_stop takes the wiphy mutex, so close before holding it. */
	dev_close(esp->vif->ndev);
	wiphy_lock(wiphy);
	cfg80211_unregister_netdevice(esp->vif->ndev);
	wiphy_work_cancel(wiphy, &esp->event_work);
	wiphy_work_cancel(wiphy, &esp->regd_work);
	wiphy_work_cancel(wiphy, &esp->mgmt_work);
	wiphy_unlock(wiphy);
	rtnl_unlock();
	wiphy_unregister(wiphy);
}

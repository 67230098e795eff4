// SPDX-License-Identifier: GPL-2.0-only
/*
 * Station role: user space (or cfg80211 itself) runs authentication and
 * association, the firmware sends the frames.
 *
 * Operations wait for the firmware's response with the wiphy mutex held;
 * events are handled with it as well, so an event that overtakes the response
 * is handled after the operation.
 */

#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/ieee80211.h>

#include "cfg80211.h"

/* The firmware's own timers run about a second. */
#define ESP_MLME_TIMEOUT	(3 * HZ)
/* A disconnect event follows our own request within this time. */
#define ESP_LEAVE_TIME		(2 * HZ)

#define ESP_SAE_CONFIRM		2

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
	WRITE_ONCE(vif->sta.authorized, false);
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

/**
 * esp_sta_abort - report whatever kind of session there was as over
 * @vif: the interface, wiphy mutex held
 */
void esp_sta_abort(struct esp_vif *vif)
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
	/* There was no session: no event will follow. */
	if (err == -EIO)
		return 0;
	if (err)
		return err;

	sta->leaving = true;
	sta->leaving_until = jiffies + ESP_LEAVE_TIME;
	sta->disconnect_seq = cmd.seq;
	memcpy(sta->left_bssid, sta->bssid, ETH_ALEN);

	return 0;
}

static void esp_sta_timeout(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_vif *vif = container_of(work, struct esp_vif,
					   sta.timeout.work);
	struct esp_hosted *esp = vif->esp;
	int err = -ENETDOWN;

	if (!vif->sta.waiting)
		return;
	esp_count(esp, ESP_STAT_MLME_TIMEOUTS);
	/* Whatever the firmware still tries, it is over. */
	if (esp_running(esp))
		err = esp_cfg80211_disconnect(vif, WLAN_REASON_DEAUTH_LEAVING);
	esp_session_lock(&vif->wdev);
	/* Had there been no answer, the firmware would have said so by now. */
	if (!err && vif->sta.state == ESP_STA_ASSOC &&
	    !esp_layout(esp)->assoc_refusals)
		esp_assoc_refused(vif);
	else
		esp_sta_fail(vif);
	esp_session_unlock(&vif->wdev);
}

/**
 * esp_sta_busy - is an authentication or association under way
 * @vif: the interface, wiphy mutex held
 *
 * Between the messages of an authentication nothing is awaited, and yet a scan
 * would have the firmware withhold the next one.
 *
 * Return: true if it is
 */
bool esp_sta_busy(const struct esp_vif *vif)
{
	return vif->sta.waiting ||
	       (vif->sta.state == ESP_STA_AUTH &&
		time_before(jiffies, vif->sta.auth_until));
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

/*
 * The firmware found the access point when it looked for it just now, and kept
 * that for itself: cfg80211 would forget an entry that old in the middle of the
 * connection.
 */
static void esp_sta_found(struct esp_hosted *esp, struct cfg80211_bss *bss)
{
	struct cfg80211_inform_bss data = {
		.chan = bss->channel,
		.signal = bss->signal,
		.boottime_ns = ktime_get_boottime_ns(),
	};
	enum cfg80211_bss_frame_type type = CFG80211_BSS_FTYPE_PRESP;
	const struct cfg80211_bss_ies *ies;
	struct cfg80211_bss *found;
	size_t len;
	u8 *copy;
	u64 tsf;

	rcu_read_lock();
	ies = rcu_dereference(bss->proberesp_ies);
	if (!ies) {
		type = CFG80211_BSS_FTYPE_BEACON;
		ies = rcu_dereference(bss->ies);
	}
	len = ies->len;
	tsf = ies->tsf;
	copy = kmemdup(ies->data, len, GFP_ATOMIC);
	rcu_read_unlock();
	if (!copy)
		return;

	found = cfg80211_inform_bss_data(esp->wiphy, &data, type, bss->bssid,
					 tsf, bss->capability,
					 bss->beacon_interval, copy, len,
					 GFP_KERNEL);
	cfg80211_put_bss(esp->wiphy, found);
	kfree(copy);
}

int esp_auth(struct wiphy *wiphy, struct net_device *ndev,
	     struct cfg80211_auth_request *req)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_sta *sta = &vif->sta;
	bool confirm = false;
	bool scanning;
	u8 alg;
	int err;

	if (esp_req_link(req) >= 0 || req->ie_len)
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
	if (confirm && (sta->state != ESP_STA_AUTH ||
			!ether_addr_equal(sta->bssid, req->bss->bssid)))
		return -ENOTCONN;
	if (sta->state == ESP_STA_ASSOC)
		return -EBUSY;

	/* An access point does not wait; scans can be repeated. */
	scanning = vif->scan.request;
	if (scanning)
		esp_scan_finish(vif, true);
	/* One session at a time: a move to another access point starts anew. */
	if (sta->state == ESP_STA_CONNECTED) {
		err = esp_cfg80211_disconnect(vif, WLAN_REASON_DEAUTH_LEAVING);
		if (err)
			return err;
		esp_sta_report_lost(vif, WLAN_REASON_DEAUTH_LEAVING, false);
	}

	err = esp_send_auth(vif, req, alg);
	if (err == -EBUSY) {
		/* An earlier attempt still runs inside the firmware. */
		err = esp_cfg80211_disconnect(vif, WLAN_REASON_DEAUTH_LEAVING);
		if (!err)
			err = esp_send_auth(vif, req, alg);
	} else if (err == -EIO && scanning) {
		/* Its own scan may have been the one that was cut short. */
		err = esp_send_auth(vif, req, alg);
	}
	if (err) {
		/* Nothing more comes of what was begun before, either. */
		if (sta->state == ESP_STA_AUTH)
			esp_sta_end(vif);
		return err;
	}

	if (!confirm) {
		vif->scan.noise = true;
		vif->scan.noise_until = jiffies + ESP_MLME_TIMEOUT;
		esp_sta_found(vif->esp, req->bss);
	}
	sta->state = ESP_STA_AUTH;
	ether_addr_copy(sta->bssid, req->bss->bssid);
	esp_sta_wait(vif, true);

	return 0;
}

int esp_assoc(struct wiphy *wiphy, struct net_device *ndev,
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

	if (esp_req_link(req) >= 0)
		return -EOPNOTSUPP;
	if (req->ie_len > ESP_ASSOC_IE_MAX)
		return -EINVAL;
	if (sta->state != ESP_STA_AUTH || sta->waiting ||
	    !ether_addr_equal(sta->bssid, req->bss->bssid))
		return -ENOTCONN;
	if (vif->scan.request)
		return -EBUSY;

	assoc.ie_len = req->ie_len;
	if (esp_layout(vif->esp)->assoc_flags) {
		assoc.reassoc = !!req->prev_bssid;
		assoc.control_port = req->crypto.control_port;
	}
	err = esp_cmd_exec(vif->esp, &cmd, &assoc, sizeof(assoc), req->ie,
			   req->ie_len);
	if (err)
		return err;

	sta->assoc_seq = cmd.seq;
	sta->state = ESP_STA_ASSOC;
	WRITE_ONCE(sta->authorized, !req->crypto.control_port);
	sta->mfp = req->use_mfp;
	/* cfg80211 holds a reference for us until the result is reported. */
	sta->bss = req->bss;
	esp_sta_wait(vif, true);

	return 0;
}

static int esp_leave(struct esp_vif *vif, const u8 *bssid, u16 reason)
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

int esp_deauth(struct wiphy *wiphy, struct net_device *ndev,
	       struct cfg80211_deauth_request *req)
{
	return esp_leave(netdev_priv(ndev), req->bssid, req->reason_code);
}

/* The firmware can only deauthenticate, so that is what is reported. */
int esp_disassoc(struct wiphy *wiphy, struct net_device *ndev,
		 struct cfg80211_disassoc_request *req)
{
	return esp_leave(netdev_priv(ndev), esp_disassoc_addr(req), req->reason_code);
}

static void esp_sta_fill_station(struct esp_vif *vif, struct station_info *sinfo)
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
	/* An upper bound: the firmware does not tell what it uses. */
	sinfo->txrate = sta->rate;
	sinfo->bss_param.flags = sta->bss_flags;
	sinfo->bss_param.beacon_interval = sta->beacon_interval;
	sinfo->bss_param.dtim_period = sta->dtim_period;
	sinfo->sta_flags.mask = BIT(NL80211_STA_FLAG_AUTHENTICATED) |
				BIT(NL80211_STA_FLAG_ASSOCIATED) |
				BIT(NL80211_STA_FLAG_AUTHORIZED) |
				BIT(NL80211_STA_FLAG_MFP);
	sinfo->sta_flags.set = BIT(NL80211_STA_FLAG_AUTHENTICATED) |
			       BIT(NL80211_STA_FLAG_ASSOCIATED);
	if (sta->authorized)
		sinfo->sta_flags.set |= BIT(NL80211_STA_FLAG_AUTHORIZED);
	if (sta->mfp)
		sinfo->sta_flags.set |= BIT(NL80211_STA_FLAG_MFP);
	sinfo->filled |= BIT_ULL(NL80211_STA_INFO_RX_PACKETS) |
			 BIT_ULL(NL80211_STA_INFO_RX_BYTES64) |
			 BIT_ULL(NL80211_STA_INFO_TX_PACKETS) |
			 BIT_ULL(NL80211_STA_INFO_TX_BYTES64) |
			 BIT_ULL(NL80211_STA_INFO_CONNECTED_TIME) |
			 BIT_ULL(NL80211_STA_INFO_TX_BITRATE) |
			 BIT_ULL(NL80211_STA_INFO_STA_FLAGS) |
			 BIT_ULL(NL80211_STA_INFO_BSS_PARAM);
}

static int esp_sta_authorize(struct esp_vif *vif, bool authorized)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_SET_AUTHORIZED,
		.if_type = ESP_IF_STA,
	};
	struct esp_req_authorized req = { .authorized = authorized };
	unsigned int tries = 0;
	int err;

	if (!authorized)
		WRITE_ONCE(vif->sta.authorized, false);
	/* Else the firmware does it when the group key is installed. */
	if (!esp_layout(vif->esp)->set_authorized)
		goto done;

	memcpy(req.bssid, vif->sta.bssid, ETH_ALEN);
	for (;;) {
		err = esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
		if (!err)
			break;
		if (err != -EBUSY || ++tries == ESP_START_RETRIES)
			return err;
		msleep(ESP_START_RETRY_MS);
	}
done:
	if (authorized)
		WRITE_ONCE(vif->sta.authorized, true);

	return 0;
}

/**
 * esp_sta_get_station - what is known of the access point
 * @vif: the interface, wiphy mutex held
 * @mac: its address
 * @sinfo: filled in
 *
 * Return: 0, -ENOENT if we are not connected to it
 */
int esp_sta_get_station(struct esp_vif *vif, const u8 *mac,
			struct station_info *sinfo)
{
	if (vif->sta.state != ESP_STA_CONNECTED ||
	    !ether_addr_equal(mac, vif->sta.bssid))
		return -ENOENT;
	esp_sta_fill_station(vif, sinfo);

	return 0;
}

/**
 * esp_sta_dump_station - the only station a station knows is its access point
 * @vif: the interface, wiphy mutex held
 * @index: which, 0 is the first
 * @mac: its address, filled in
 * @sinfo: filled in
 *
 * Return: 0, -ENOENT behind the last one
 */
int esp_sta_dump_station(struct esp_vif *vif, int index, u8 *mac,
			 struct station_info *sinfo)
{
	if (index || vif->sta.state != ESP_STA_CONNECTED)
		return -ENOENT;
	ether_addr_copy(mac, vif->sta.bssid);
	esp_sta_fill_station(vif, sinfo);

	return 0;
}

/**
 * esp_sta_change_station - user space opens or closes the port
 * @vif: the interface, wiphy mutex held
 * @mac: address of the access point
 * @params: only the authorized flag means something to us
 *
 * Return: 0, -ENOENT if we are not connected to it, else as esp_cmd_exec()
 */
int esp_sta_change_station(struct esp_vif *vif, const u8 *mac,
			   struct station_parameters *params)
{
	if (vif->sta.state != ESP_STA_CONNECTED ||
	    !ether_addr_equal(mac, vif->sta.bssid))
		return -ENOENT;
	if (!(params->sta_flags_mask & BIT(NL80211_STA_FLAG_AUTHORIZED)))
		return 0;

	return esp_sta_authorize(vif, params->sta_flags_set &
				      BIT(NL80211_STA_FLAG_AUTHORIZED));
}

/**
 * esp_sta_init - set up the station role
 * @vif: the interface, being made
 */
void esp_sta_init(struct esp_vif *vif)
{
	wiphy_delayed_work_init(&vif->sta.timeout, esp_sta_timeout);
}

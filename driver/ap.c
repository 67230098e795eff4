// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access-point role: hostapd runs authentication and association, the firmware
 * beacons and answers probe requests. Management frames go out one at a time.
 */

#include <linux/etherdevice.h>
#include <linux/ieee80211.h>

#include "cfg80211.h"

/* Firmware's own limit is five seconds. */
#define ESP_MGMT_TX_TIMEOUT	(6 * HZ)
#define ESP_MGMT_TX_QUEUE	16
/* Body bytes that identify a frame the firmware reports about */
#define ESP_MGMT_TX_BODY	16

#define ESP_BEACON_HEAD		(24 + 8 + 2)	/* up to the capabilities */

/* Stations */

/* Index of a station in the access point's table */
static int esp_ap_find(const struct esp_vif *vif, const u8 *mac)
{
	unsigned int i;

	/* Entries that are free have this address. */
	if (is_zero_ether_addr(mac))
		return -ENOENT;
	for (i = 0; i < ESP_AP_STATIONS; i++) {
		if (!memcmp(vif->ap.stations[i].mac, mac, ETH_ALEN))
			return i;
	}

	return -ENOENT;
}

/* Written with the wiphy mutex and the lock held, read with either. */
static void esp_ap_set_station(struct esp_ap *ap, int index,
			       const struct esp_ap_station *sta)
{
	spin_lock(&ap->lock);
	ap->stations[index] = *sta;
	spin_unlock(&ap->lock);
}

/**
 * esp_ap_heard - a station of our access point is still there
 * @vif: the interface
 * @mac: who sent something, at any address; may be anybody
 *
 * Process context, any locks.
 */
void esp_ap_heard(struct esp_vif *vif, const u8 *mac)
{
	struct esp_ap *ap = &vif->ap;
	u8 addr[ETH_ALEN] __aligned(2);
	int index;

	memcpy(addr, mac, ETH_ALEN);
	spin_lock(&ap->lock);
	index = esp_ap_find(vif, addr);
	if (index >= 0)
		WRITE_ONCE(ap->stations[index].heard, jiffies);
	spin_unlock(&ap->lock);
}

/*
 * The firmware says nothing about its stations; this is what hostapd said, and
 * what was heard of them here. What keeps a station alive may stay inside the
 * firmware: hostapd asks one that is silent, see esp_probe_station().
 */
static void esp_ap_fill_station(const struct esp_vif *vif, int index,
				struct station_info *sinfo)
{
	const struct esp_ap_station *sta = &vif->ap.stations[index];

	sinfo->sta_flags.mask = BIT(NL80211_STA_FLAG_AUTHENTICATED) |
				BIT(NL80211_STA_FLAG_ASSOCIATED) |
				BIT(NL80211_STA_FLAG_AUTHORIZED) |
				BIT(NL80211_STA_FLAG_WME) |
				BIT(NL80211_STA_FLAG_MFP);
	sinfo->sta_flags.set = sta->flags & sinfo->sta_flags.mask;
	sinfo->connected_time = ktime_get_boottime_seconds() - sta->since;
	sinfo->inactive_time = jiffies_to_msecs(jiffies -
						READ_ONCE(sta->heard));
	sinfo->filled |= BIT_ULL(NL80211_STA_INFO_STA_FLAGS) |
			 BIT_ULL(NL80211_STA_INFO_CONNECTED_TIME) |
			 BIT_ULL(NL80211_STA_INFO_INACTIVE_TIME);
}

/**
 * esp_ap_get_station - what is known of a station
 * @vif: the interface, wiphy mutex held
 * @mac: its address
 * @sinfo: filled in
 *
 * Return: 0, -ENOENT if it is not associated
 */
int esp_ap_get_station(struct esp_vif *vif, const u8 *mac,
		       struct station_info *sinfo)
{
	int index = esp_ap_find(vif, mac);

	if (index < 0)
		return index;
	esp_ap_fill_station(vif, index, sinfo);

	return 0;
}

/**
 * esp_ap_dump_station - go through the stations
 * @vif: the interface, wiphy mutex held
 * @index: which, 0 is the first
 * @mac: its address, filled in
 * @sinfo: filled in
 *
 * Return: 0, -ENOENT behind the last one
 */
int esp_ap_dump_station(struct esp_vif *vif, int index, u8 *mac,
			struct station_info *sinfo)
{
	unsigned int i;

	for (i = 0; i < ESP_AP_STATIONS; i++) {
		if (is_zero_ether_addr(vif->ap.stations[i].mac) || index--)
			continue;
		ether_addr_copy(mac, vif->ap.stations[i].mac);
		esp_ap_fill_station(vif, i, sinfo);
		return 0;
	}

	return -ENOENT;
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
		esp_station_caps(&req, esp_link_params(params));

	return esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
}

int esp_add_station(struct wiphy *wiphy, struct wireless_dev *wdev,
		    const u8 *mac, struct station_parameters *params)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	struct esp_ap_station sta = {
		.flags = params->sta_flags_set,
		.since = ktime_get_boottime_seconds(),
		.heard = jiffies,
	};
	int index, err;

	if (wdev->iftype != NL80211_IFTYPE_AP)
		return -EOPNOTSUPP;
	if (!vif->ap.started)
		return -ENETDOWN;
	if (!is_valid_ether_addr(mac))
		return -EINVAL;
	if (esp_ap_find(vif, mac) >= 0)
		return -EEXIST;
	for (index = 0; index < ESP_AP_STATIONS; index++) {
		if (is_zero_ether_addr(vif->ap.stations[index].mac))
			break;
	}
	if (index == ESP_AP_STATIONS)
		return -ENOSPC;

	err = esp_send_station(vif, ESP_STATION_ADD, mac, params);
	if (err)
		return err;
	ether_addr_copy(sta.mac, mac);
	esp_ap_set_station(&vif->ap, index, &sta);

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
	const struct esp_ap_station none = {};
	int err;

	memcpy(req.mac, vif->ap.stations[index].mac, ETH_ALEN);
	esp_ap_set_station(&vif->ap, index, &none);
	err = esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);

	/* It may have left by itself. */
	return err == -EIO ? 0 : err;
}

int esp_del_station(struct wiphy *wiphy, struct wireless_dev *wdev,
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
		if (is_zero_ether_addr(vif->ap.stations[index].mac))
			continue;
		err = esp_ap_remove(vif, index, params->reason_code);
		if (!first_err)
			first_err = err;
	}

	return first_err;
}

/**
 * esp_ap_change_station - user space changes a station's flags
 * @vif: the interface, wiphy mutex held
 * @mac: its address
 * @params: what to change
 *
 * Return: 0, -ENOENT if it is not associated, else as esp_cmd_exec()
 */
int esp_ap_change_station(struct esp_vif *vif, const u8 *mac,
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
		u32 *flags = &vif->ap.stations[index].flags;

		*flags &= ~params->sta_flags_mask;
		*flags |= params->sta_flags_mask & params->sta_flags_set;
	}

	return err;
}

/* Access point */

/**
 * esp_set_mode - have the firmware be a station or an access point
 * @esp: the device, wiphy mutex held
 * @mode: &enum esp_mode
 *
 * Return: as esp_cmd_exec()
 */
int esp_set_mode(struct esp_hosted *esp, u16 mode)
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

/**
 * esp_ap_mode - start Wi-Fi as an access point, unless it has been
 * @esp: the device, wiphy mutex held
 *
 * Return: as esp_cmd_exec()
 */
int esp_ap_mode(struct esp_hosted *esp)
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

int esp_start_ap(struct wiphy *wiphy, struct net_device *ndev,
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
	/* There is no way to ask the firmware for more than 20 MHz. */
	if (settings->chandef.width != NL80211_CHAN_WIDTH_20_NOHT &&
	    settings->chandef.width != NL80211_CHAN_WIDTH_20)
		return -EOPNOTSUPP;

	memcpy(req.ssid, settings->ssid, settings->ssid_len);
	req.ssid_len = settings->ssid_len;
	req.channel = settings->chandef.chan->hw_value;
	req.hidden = settings->hidden_ssid != NL80211_HIDDEN_SSID_NOT_IN_USE;
	req.max_connections = ESP_AP_STATIONS;
	/* The DTIM period is the firmware's; there is no field for it. */
	req.beacon_interval = cpu_to_le16(settings->beacon_interval);
	/* Left to user space: the firmware would not say whom it sent away. */
	req.inactivity_timeout = cpu_to_le16(U16_MAX);
	req.privacy = settings->privacy;

	err = esp_ap_mode(esp);
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
	vif->ap.chandef = settings->chandef;
	vif->ap.started = true;
	esp_netdev_set_carrier(vif, true);

	return 0;
}

int esp_change_beacon(struct wiphy *wiphy, struct net_device *ndev,
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
	spin_lock(&ap->lock);
	memset(ap->stations, 0, sizeof(ap->stations));
	spin_unlock(&ap->lock);
	while (!skb_queue_empty(&ap->tx))
		esp_ap_tx_status(vif, esp_skb_cb(skb_peek(&ap->tx))->cookie,
				 false);
}

/**
 * esp_ap_abort - the access point is no more, and not because of user space
 * @vif: the interface, wiphy mutex held
 */
void esp_ap_abort(struct esp_vif *vif)
{
	if (!vif->ap.started)
		return;
	esp_ap_end(vif);
	cfg80211_stop_iface(vif->esp->wiphy, &vif->wdev, GFP_KERNEL);
}

int esp_stop_ap(struct wiphy *wiphy, struct net_device *ndev,
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

/* It says at once whether it will send the frame, and in an event how. */
static int esp_ap_tx_accepted(struct esp_vif *vif, struct sk_buff *skb)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_MGMT_TX,
		.if_type = ESP_IF_AP,
		.option = ESP_MGMT_TX_MARK,
	};
	struct esp_mgmt_tx_g2 req = {
		.channel = vif->ap.chandef.chan->hw_value,
		.no_ack = esp_skb_cb(skb)->no_ack,
		.id = cpu_to_le64(esp_skb_cb(skb)->cookie),
		.len = cpu_to_le32(skb->len),
	};

	return esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), skb->data,
			    skb->len);
}

/* It answers when the frame was sent, and other commands meanwhile. */
static int esp_ap_tx_deferred(struct esp_vif *vif, struct sk_buff *skb)
{
	struct esp_link *link = &vif->esp->link;
	struct esp_mgmt_tx_g1 req = {
		.hdr.code = ESP_CMD_MGMT_TX,
		.channel = vif->ap.chandef.chan->hw_value,
		.no_ack = esp_skb_cb(skb)->no_ack,
		.len = cpu_to_le32(skb->len),
	};
	struct sk_buff *copy;

	copy = alloc_skb(sizeof(req) + skb->len, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	skb_put_data(copy, &req, sizeof(req));
	skb_put_data(copy, skb->data, skb->len);
	*esp_skb_cb(copy) = (struct esp_skb_cb) {
		.if_type = ESP_IF_AP,
		.pkt_type = ESP_PKT_COMMAND,
	};
	esp_link_send(link, &link->control, copy);

	return 0;
}

/* Hand a management frame, the first one of the queue, to the firmware. */
static int esp_ap_tx(struct esp_vif *vif, struct sk_buff *skb)
{
	struct esp_hosted *esp = vif->esp;
	struct esp_ap *ap = &vif->ap;
	int err;

	if (!esp_running(esp))
		return -ENETDOWN;
	if (esp_layout(esp)->mgmt_tx_events)
		err = esp_ap_tx_accepted(vif, skb);
	else
		err = esp_ap_tx_deferred(vif, skb);
	if (err)
		return err;

	ap->sent = true;
	esp_link_expect(&esp->link, ESP_EXPECT_TX_STATUS, true);
	wiphy_delayed_work_queue(esp->wiphy, &ap->timeout, ESP_MGMT_TX_TIMEOUT);

	return 0;
}

/* One at a time: the next one of those that wait. */
static void esp_ap_tx_next(struct esp_vif *vif)
{
	struct esp_ap *ap = &vif->ap;
	struct sk_buff *skb;

	while (!ap->sent && (skb = skb_peek(&ap->tx))) {
		if (esp_ap_tx(vif, skb))
			esp_ap_tx_status(vif, esp_skb_cb(skb)->cookie, false);
	}
}

/*
 * Send a management frame, at once if the one before is done: hostapd removes
 * a station right after it was told to go. Consumes @skb.
 */
static int esp_ap_tx_queue(struct esp_vif *vif, struct sk_buff *skb)
{
	struct esp_ap *ap = &vif->ap;
	int err;

	skb_queue_tail(&ap->tx, skb);
	if (skb_queue_len(&ap->tx) > 1)
		return 0;
	err = esp_ap_tx(vif, skb);
	if (err) {
		skb_unlink(skb, &ap->tx);
		kfree_skb(skb);
	}

	return err;
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
	if (ack)
		esp_ap_heard(vif, skb->data + 4);
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

int esp_mgmt_tx(struct wiphy *wiphy, struct wireless_dev *wdev,
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

	return esp_ap_tx_queue(vif, skb);
}

/*
 * Is a station still there? The firmware sends no null frames for us, but a
 * public action frame of a vendor's kind does as well: a station acknowledges
 * it and has no further use for it.
 */
int esp_probe_station(struct wiphy *wiphy, struct net_device *ndev,
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

	return esp_ap_tx_queue(vif, skb);
}

/**
 * esp_ap_eapol - an EAPOL frame came without its Ethernet header
 * @vif: the interface, wiphy mutex held
 * @skb: the frame, from its 802.1X header on
 *
 * Some firmware loses the header, and the sender with it, when an authorised
 * station answers a new key. It can only be one of these stations: each of them
 * gets the blame, and hostapd believes the one whose key fits.
 */
void esp_ap_eapol(struct esp_vif *vif, const struct sk_buff *skb)
{
	struct sk_buff *copy;
	struct ethhdr *eth;
	unsigned int i;

	for (i = 0; vif->ap.started && i < ESP_AP_STATIONS; i++) {
		const struct esp_ap_station *sta = &vif->ap.stations[i];

		if (!(sta->flags & BIT(NL80211_STA_FLAG_AUTHORIZED)))
			continue;
		copy = netdev_alloc_skb_ip_align(vif->ndev,
						 sizeof(*eth) + skb->len);
		if (!copy) {
			esp_count(vif->esp, ESP_STAT_RX_NOMEM);
			return;
		}
		eth = skb_put(copy, sizeof(*eth));
		ether_addr_copy(eth->h_dest, vif->ndev->dev_addr);
		ether_addr_copy(eth->h_source, sta->mac);
		eth->h_proto = htons(ETH_P_PAE);
		skb_put_data(copy, skb->data, skb->len);
		if (esp_netdev_inject(vif, copy))
			esp_count(vif->esp, ESP_STAT_RX_BARE_EAPOL);
	}
	esp_netdev_schedule(vif);
}

/**
 * esp_mgmt_work - send the next of the management frames that wait
 * @wiphy: the wiphy, its mutex held
 * @work: the device's work for this
 */
void esp_mgmt_work(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_hosted *esp = container_of(work, struct esp_hosted,
					      mgmt_work);

	esp_ap_tx_next(esp->vif);
}

const struct ieee80211_txrx_stypes
esp_ap_mgmt_stypes[NUM_NL80211_IFTYPES] = {
	[NL80211_IFTYPE_AP] = {
		.tx = 0xffff,
		/* hostapd insists on probe requests; none ever comes. */
		.rx = BIT(IEEE80211_STYPE_ASSOC_REQ >> 4) |
		      BIT(IEEE80211_STYPE_REASSOC_REQ >> 4) |
		      BIT(IEEE80211_STYPE_PROBE_REQ >> 4) |
		      BIT(IEEE80211_STYPE_DISASSOC >> 4) |
		      BIT(IEEE80211_STYPE_AUTH >> 4) |
		      BIT(IEEE80211_STYPE_DEAUTH >> 4) |
		      BIT(IEEE80211_STYPE_ACTION >> 4),
	},
};

/**
 * esp_ap_init - set up the access-point role
 * @vif: the interface, being made
 */
void esp_ap_init(struct esp_vif *vif)
{
	spin_lock_init(&vif->ap.lock);
	wiphy_delayed_work_init(&vif->ap.timeout, esp_ap_tx_timeout);
	skb_queue_head_init(&vif->ap.tx);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events from the firmware, and what they mean to cfg80211.
 *
 * The link thread only copies an event and queues it; everything else happens
 * in a wiphy work, under the mutex cfg80211 wants, and never in the way of the
 * command that may be waiting with that mutex held.
 */

#include <linux/etherdevice.h>
#include <linux/ieee80211.h>

#include "esp_hosted.h"
#include "trace.h"

/* More than a scan brings; a firmware beyond that floods us. */
#define ESP_EVENTS_MAX		256
/* So long may an answered authentication wait for its association. */
#define ESP_AUTH_LIFETIME	(5 * HZ)
/* 802.11 header and fixed fields of an association response */
#define ESP_ASSOC_FIXED		(24 + 6)

static void esp_malformed(struct esp_hosted *esp, const struct sk_buff *skb)
{
	esp_count(esp, ESP_STAT_EVENT_MALFORMED);
	dev_dbg_ratelimited(esp->dev, "malformed event: %*ph\n",
			    min_t(int, skb->len, 64), skb->data);
}

static struct ieee80211_channel *esp_channel(struct esp_hosted *esp, u32 number)
{
	enum nl80211_band band = number > 14 ? NL80211_BAND_5GHZ :
					       NL80211_BAND_2GHZ;

	if (number > U8_MAX)
		return NULL;

	return ieee80211_get_channel(esp->wiphy,
				     ieee80211_channel_to_frequency(number,
								    band));
}

/* In the layout of another generation: the firmware is not what it seemed. */
static void esp_rejected(struct esp_hosted *esp, const struct sk_buff *skb,
			 int err)
{
	if (err != -EPROTO) {
		esp_malformed(esp, skb);
		return;
	}
	esp_count(esp, ESP_STAT_EVENT_GENERATION);
	dev_warn_ratelimited(esp->dev, "event in the layout of another firmware generation\n");
}

/* What was not asked for was only heard in passing. */
static bool esp_scan_wanted(const struct cfg80211_scan_request *request,
			    const struct ieee80211_channel *chan,
			    const u8 *bssid)
{
	u32 i;

	if (!is_broadcast_ether_addr(request->bssid) &&
	    memcmp(request->bssid, bssid, ETH_ALEN))
		return false;
	for (i = 0; i < request->n_channels; i++) {
		if (request->channels[i]->center_freq == chan->center_freq)
			return true;
	}

	return false;
}

/* hostapd wants to hear its neighbours; the firmware cuts the header off. */
static void esp_report_neighbour(struct esp_vif *vif,
				 const struct ieee80211_channel *chan, s32 dbm,
				 const u8 *bssid, const u8 *body, size_t len)
{
	struct ieee80211_hdr_3addr *hdr;
	u8 *frame;

	frame = kmalloc(sizeof(*hdr) + len, GFP_KERNEL);
	if (!frame)
		return;
	hdr = (struct ieee80211_hdr_3addr *)frame;
	*hdr = (struct ieee80211_hdr_3addr) {
		.frame_control = cpu_to_le16(IEEE80211_FTYPE_MGMT |
					     IEEE80211_STYPE_BEACON),
	};
	eth_broadcast_addr(hdr->addr1);
	memcpy(hdr->addr2, bssid, ETH_ALEN);
	memcpy(hdr->addr3, bssid, ETH_ALEN);
	memcpy(frame + sizeof(*hdr), body, len);
	cfg80211_report_obss_beacon(vif->esp->wiphy, frame, sizeof(*hdr) + len,
				    chan->center_freq, dbm);
	kfree(frame);
}

static void esp_scan_result(struct esp_vif *vif, const struct sk_buff *skb)
{
	struct cfg80211_inform_bss data = {};
	struct esp_hosted *esp = vif->esp;
	enum cfg80211_bss_frame_type type;
	struct cfg80211_bss *bss;
	struct esp_mgmt_rx rx;
	u8 bssid[ETH_ALEN];
	s32 dbm;

	if (esp_decode_scan(skb->data, skb->len, &rx)) {
		esp_malformed(esp, skb);
		return;
	}
	memcpy(bssid, rx.bssid, sizeof(bssid));

	switch (rx.subtype) {
	case IEEE80211_STYPE_BEACON >> 4:
		type = CFG80211_BSS_FTYPE_BEACON;
		break;
	case IEEE80211_STYPE_PROBE_RESP >> 4:
		type = CFG80211_BSS_FTYPE_PRESP;
		break;
	default:
		type = CFG80211_BSS_FTYPE_UNKNOWN;
		break;
	}

	data.chan = esp_channel(esp, rx.channel);
	if (!data.chan || (data.chan->flags & IEEE80211_CHAN_DISABLED) ||
	    (vif->scan.request &&
	     !esp_scan_wanted(vif->scan.request, data.chan, bssid))) {
		esp_count(esp, ESP_STAT_SCAN_FILTERED);
		return;
	}
	dbm = clamp_t(s32, rx.rssi, S8_MIN, 0);
	data.signal = DBM_TO_MBM(dbm);
	data.boottime_ns = ktime_get_boottime_ns();
	if (vif->ap.started && type == CFG80211_BSS_FTYPE_BEACON)
		esp_report_neighbour(vif, data.chan, dbm, bssid, rx.frame,
				     rx.len);

	bss = cfg80211_inform_bss_data(esp->wiphy, &data, type, bssid,
				       get_unaligned_le64(rx.frame),
				       get_unaligned_le16(rx.frame + 10),
				       get_unaligned_le16(rx.frame + 8),
				       rx.frame + ESP_BEACON_FIXED,
				       rx.len - ESP_BEACON_FIXED, GFP_KERNEL);
	cfg80211_put_bss(esp->wiphy, bss);
}

static void esp_scan_done(struct esp_vif *vif)
{
	struct esp_scan *scan = &vif->scan;
	struct esp_hosted *esp = vif->esp;

	if (!scan->request) {
		esp_count(esp, ESP_STAT_SCAN_SPURIOUS);
		scan->noise = false;
		return;
	}
	/*
	 * Authentication scans as well and reports the end of that, too. If
	 * this may be it, go on collecting; should it have been ours after
	 * all, the watchdog completes the scan shortly.
	 */
	if (scan->noise && time_before(jiffies, scan->noise_until)) {
		esp_count(esp, ESP_STAT_SCAN_SPURIOUS);
		scan->noise = false;
		scan->ended = true;
		wiphy_delayed_work_queue(esp->wiphy, &scan->watchdog, 2 * HZ);
		return;
	}
	esp_scan_finish(vif, false);
}

static void esp_event_scan(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_hdr *hdr = (const void *)skb->data;

	if (hdr->status == ESP_SCAN_STATUS_RESULT)
		esp_scan_result(vif, skb);
	else if (hdr->status == ESP_SCAN_STATUS_DONE)
		esp_scan_done(vif);
	else
		esp_malformed(vif->esp, skb);
}

static void esp_event_auth(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_layout *layout = esp_layout(vif->esp);
	struct esp_hosted *esp = vif->esp;
	struct esp_sta *sta = &vif->sta;
	struct esp_mgmt_rx rx;
	int err;

	err = esp_decode_auth(layout, skb->data, skb->len, &rx);
	if (err) {
		esp_rejected(esp, skb, err);
		return;
	}
	if (sta->state != ESP_STA_AUTH || !sta->waiting ||
	    memcmp(rx.bssid, sta->bssid, ETH_ALEN) ||
	    (layout->sequences && rx.seq != sta->auth_seq)) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}

	esp_sta_wait(vif, false);
	/* The firmware ends one session before it begins another. */
	sta->leaving = false;
	sta->auth_until = jiffies + ESP_AUTH_LIFETIME;
	cfg80211_rx_mlme_mgmt(vif->ndev, rx.frame, rx.len);
}

/* Highest rate both ends announced, which the firmware may use at best. */
static void esp_sta_set_rate(struct esp_vif *vif,
			     const struct ieee80211_channel *chan,
			     const u8 *ies, size_t len)
{
	static const u8 rate_elems[] = { WLAN_EID_SUPP_RATES,
					 WLAN_EID_EXT_SUPP_RATES };
	const struct ieee80211_supported_band *sband;
	struct rate_info *rate = &vif->sta.rate;
	const struct element *elem;
	unsigned int i, j, best = 0;

	*rate = (struct rate_info) {};
	sband = vif->esp->wiphy->bands[chan->band];
	for (i = 0; i < ARRAY_SIZE(rate_elems); i++) {
		elem = cfg80211_find_elem(rate_elems[i], ies, len);
		for (j = 0; elem && j < elem->datalen; j++)
			best = max_t(u8, best, elem->data[j] & 0x7f);
	}
	/* 500 kbit/s units on the air, 100 kbit/s units here */
	rate->legacy = min(best * 5, 540U);

	elem = cfg80211_find_elem(WLAN_EID_HT_CAPABILITY, ies, len);
	if (elem && elem->datalen >= sizeof(struct ieee80211_ht_cap) &&
	    sband->ht_cap.ht_supported) {
		const struct ieee80211_ht_cap *cap = (const void *)elem->data;
		u8 mcs = cap->mcs.rx_mask[0] & sband->ht_cap.mcs.rx_mask[0];

		if (mcs) {
			*rate = (struct rate_info) {
				.flags = RATE_INFO_FLAGS_MCS,
				.mcs = fls(mcs) - 1,
				.bw = RATE_INFO_BW_20,
			};
			if (get_unaligned_le16(&cap->cap_info) &
			    IEEE80211_HT_CAP_SGI_20)
				rate->flags |= RATE_INFO_FLAGS_SHORT_GI;
		}
	}
}

/* What beacons tell of the access point, as far as one was heard */
static void esp_sta_set_bss(struct esp_sta *sta, struct cfg80211_bss *bss,
			    u16 capability)
{
	const struct cfg80211_bss_ies *ies;
	const struct element *elem;

	sta->chan = bss->channel;
	sta->beacon_interval = bss->beacon_interval;
	sta->dtim_period = 0;
	sta->bss_flags = 0;
	if (capability & WLAN_CAPABILITY_SHORT_PREAMBLE)
		sta->bss_flags |= BSS_PARAM_FLAGS_SHORT_PREAMBLE;
	if (capability & WLAN_CAPABILITY_SHORT_SLOT_TIME)
		sta->bss_flags |= BSS_PARAM_FLAGS_SHORT_SLOT_TIME;

	rcu_read_lock();
	ies = rcu_dereference(bss->beacon_ies);
	if (ies) {
		elem = cfg80211_find_elem(WLAN_EID_TIM, ies->data, ies->len);
		if (elem && elem->datalen >= 2)
			sta->dtim_period = elem->data[1];
		elem = cfg80211_find_elem(WLAN_EID_ERP_INFO, ies->data,
					  ies->len);
		if (elem && elem->datalen &&
		    (elem->data[0] & WLAN_ERP_USE_PROTECTION))
			sta->bss_flags |= BSS_PARAM_FLAGS_CTS_PROT;
	}
	rcu_read_unlock();
}

static void esp_sta_connected(struct esp_vif *vif, const u8 *frame, size_t len)
{
	struct esp_sta *sta = &vif->sta;
	struct rtnl_link_stats64 stats = {};

	esp_netdev_stats(vif, &stats);
	sta->state = ESP_STA_CONNECTED;
	sta->connected_since = ktime_get_boottime_seconds();
	esp_sta_set_bss(sta, sta->bss, get_unaligned_le16(frame + 24));
	sta->signal = 0;
	sta->rx_packets = stats.rx_packets;
	sta->rx_bytes = stats.rx_bytes;
	sta->tx_packets = stats.tx_packets;
	sta->tx_bytes = stats.tx_bytes;
	esp_sta_set_rate(vif, sta->bss->channel, frame + ESP_ASSOC_FIXED,
			 len - ESP_ASSOC_FIXED);
	esp_netdev_set_carrier(vif, true);
}

static void esp_assoc_result(struct esp_vif *vif, const u8 *frame, size_t len)
{
	struct cfg80211_rx_assoc_resp_data resp = {};
	struct esp_sta *sta = &vif->sta;

	esp_sta_wait(vif, false);
	resp.buf = frame;
	resp.len = len;
	resp.uapsd_queues = -1;
	resp.links[0].bss = sta->bss;
	esp_resp_set_addr(&resp, vif->ndev->dev_addr);
	if (!get_unaligned_le16(frame + 26))
		esp_sta_connected(vif, frame, len);
	/* Passes our reference on, success or not. */
	sta->bss = NULL;
	if (sta->state != ESP_STA_CONNECTED)
		esp_sta_end(vif);
	cfg80211_rx_assoc_resp(vif->ndev, &resp);
}

/**
 * esp_assoc_refused - the access point did not take us
 * @vif: the interface, wiphy mutex held, association request under way
 *
 * For a firmware that keeps the response to itself. That it was refused, and
 * not lost, makes a difference to user space: it has to forget a key that the
 * access point no longer knows, or it would offer it again for ever.
 */
void esp_assoc_refused(struct esp_vif *vif)
{
	struct net_device *ndev = vif->ndev;
	struct {
		struct ieee80211_hdr_3addr hdr;
		__le16 capability;
		__le16 status;
		__le16 aid;
	} __packed __aligned(2) frame = {};

	BUILD_BUG_ON(sizeof(frame) != ESP_ASSOC_FIXED);

	frame.hdr.frame_control = cpu_to_le16(IEEE80211_FTYPE_MGMT |
					      IEEE80211_STYPE_ASSOC_RESP);
	memcpy(frame.hdr.addr1, ndev->dev_addr, ETH_ALEN);
	memcpy(frame.hdr.addr2, vif->sta.bssid, ETH_ALEN);
	memcpy(frame.hdr.addr3, vif->sta.bssid, ETH_ALEN);
	frame.capability = cpu_to_le16(vif->sta.bss->capability);
	frame.status = cpu_to_le16(WLAN_STATUS_UNSPECIFIED_FAILURE);
	esp_assoc_result(vif, (u8 *)&frame, sizeof(frame));
}

static void esp_event_assoc(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_layout *layout = esp_layout(vif->esp);
	struct esp_hosted *esp = vif->esp;
	struct esp_sta *sta = &vif->sta;
	struct esp_mgmt_rx rx;
	int err;

	err = esp_decode_assoc(layout, skb->data, skb->len, &rx);
	if (err) {
		esp_rejected(esp, skb, err);
		return;
	}
	if (sta->state != ESP_STA_ASSOC ||
	    memcmp(rx.bssid, sta->bssid, ETH_ALEN) ||
	    (layout->sequences && rx.seq != sta->assoc_seq)) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}

	esp_assoc_result(vif, rx.frame, rx.len);
}

static u16 esp_reason_80211(u8 reason)
{
	switch (reason) {
	case 0:
		return WLAN_REASON_UNSPECIFIED;
	case ESP_REASON_BEACON_TIMEOUT:
		return WLAN_REASON_DISASSOC_DUE_TO_INACTIVITY;
	case ESP_REASON_HANDSHAKE_TIMEOUT:
		return WLAN_REASON_4WAY_HANDSHAKE_TIMEOUT;
	default:
		return reason < ESP_REASON_PSEUDO ? reason :
						    WLAN_REASON_UNSPECIFIED;
	}
}

/*
 * Is this the end of a session that we ended, or of none that we know? Before
 * the next session begins the firmware reports the end of the last one; with
 * sequence numbers one that sticks to a later event (it should not) does no
 * harm, without them time and address have to do.
 */
static bool esp_disconnect_expected(struct esp_vif *vif,
				    const struct esp_disconnect_rx *rx)
{
	struct esp_sta *sta = &vif->sta;

	if (esp_layout(vif->esp)->sequences) {
		if (rx->seq && rx->seq == sta->disconnect_seq) {
			bool leaving = sta->leaving;

			sta->leaving = false;
			return leaving;
		}
		if (rx->seq && rx->seq != sta->assoc_seq) {
			esp_count(vif->esp, ESP_STAT_EVENT_UNEXPECTED);
			return true;
		}
	} else if (sta->leaving && time_before(jiffies, sta->leaving_until) &&
		   !memcmp(rx->bssid, sta->left_bssid, ETH_ALEN)) {
		sta->leaving = false;
		return true;
	}
	/* A connection that never came about may have no address yet. */
	if (sta->state == ESP_STA_IDLE ||
	    (memcmp(rx->bssid, sta->bssid, ETH_ALEN) &&
	     memchr_inv(rx->bssid, 0, ETH_ALEN))) {
		esp_count(vif->esp, ESP_STAT_EVENT_UNEXPECTED);
		return true;
	}

	return false;
}

/* What ends an association request without an answer from the access point */
static bool esp_reason_unanswered(u8 reason)
{
	switch (reason) {
	case ESP_REASON_ASSOC_EXPIRED:
	case ESP_REASON_BEACON_TIMEOUT:
	case ESP_REASON_NO_AP_FOUND:
		return true;
	default:
		return false;
	}
}

static void esp_event_disconnect(struct esp_vif *vif, const struct sk_buff *skb)
{
	struct esp_hosted *esp = vif->esp;
	struct esp_sta *sta = &vif->sta;
	struct esp_disconnect_rx rx;
	bool from_ap;
	int err;

	err = esp_decode_disconnect(esp_layout(esp), skb->data, skb->len, &rx);
	if (err) {
		esp_rejected(esp, skb, err);
		return;
	}
	if (esp_disconnect_expected(vif, &rx))
		return;

	dev_dbg(esp->dev, "disconnected, firmware's reason %u\n", rx.reason);
	from_ap = rx.reason < ESP_REASON_PSEUDO;
	/* An authentication that was answered ends as it began: unnoticed. */
	if (sta->state == ESP_STA_CONNECTED ||
	    (sta->state == ESP_STA_AUTH && !sta->waiting && from_ap))
		esp_sta_report_lost(vif, esp_reason_80211(rx.reason), from_ap);
	else if (sta->state == ESP_STA_ASSOC &&
		 !esp_layout(esp)->assoc_refusals &&
		 !esp_reason_unanswered(rx.reason))
		esp_assoc_refused(vif);
	else
		esp_sta_fail(vif);
}

static void esp_event_ap_mgmt(struct esp_vif *vif, const struct sk_buff *skb)
{
	struct esp_hosted *esp = vif->esp;
	struct ieee80211_channel *chan;
	struct esp_mgmt_rx rx;

	if (esp_decode_ap_mgmt(skb->data, skb->len, &rx)) {
		esp_malformed(esp, skb);
		return;
	}
	chan = esp_channel(esp, rx.channel);
	if (!chan) {
		esp_malformed(esp, skb);
		return;
	}
	if (!vif->ap.started) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}
	esp_ap_heard(vif, rx.bssid);
	cfg80211_rx_mgmt(&vif->wdev, chan->center_freq,
			 clamp_t(s32, rx.rssi, S8_MIN, 0), rx.frame, rx.len, 0);
}

static void esp_event_tx_status(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_tx_status *ev = (const void *)skb->data;
	struct esp_hosted *esp = vif->esp;

	if (skb->len < sizeof(*ev)) {
		esp_malformed(esp, skb);
		return;
	}
	if (!esp_layout(esp)->mgmt_tx_events) {
		esp_count(esp, ESP_STAT_EVENT_GENERATION);
		return;
	}
	esp_ap_tx_status(vif, le64_to_cpu(ev->id), ev->ack);
	wiphy_work_queue(esp->wiphy, &esp->mgmt_work);
}

static void esp_event_handle(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_hdr *hdr = (const void *)skb->data;
	struct esp_hosted *esp = vif->esp;

	esp_count(esp, ESP_STAT_EVENTS);
	trace_esp_event(esp, hdr->code, hdr->status, skb->len);

	switch (hdr->code) {
	case ESP_EVENT_SCAN:
		esp_event_scan(vif, skb);
		break;
	case ESP_EVENT_AUTH_RX:
		esp_event_auth(vif, skb);
		break;
	case ESP_EVENT_ASSOC_RX:
		esp_event_assoc(vif, skb);
		break;
	case ESP_EVENT_STA_DISCONNECT:
		esp_event_disconnect(vif, skb);
		break;
	case ESP_EVENT_AP_MGMT_RX:
		esp_event_ap_mgmt(vif, skb);
		break;
	case ESP_EVENT_MGMT_TX_STATUS:
		esp_event_tx_status(vif, skb);
		break;
	default:
		esp_count(esp, ESP_STAT_EVENT_UNKNOWN);
		break;
	}
}

/**
 * esp_event_rx - take an event from the link
 * @esp: the device
 * @frame: a frame of type %ESP_PKT_EVENT; or a response or an EAPOL frame that
 *	only the wiphy mutex' owner can make sense of
 *
 * Link thread.
 */
void esp_event_rx(struct esp_hosted *esp, const struct esp_frame *frame)
{
	struct sk_buff *skb;

	if (frame->len < sizeof(struct esp_event_hdr)) {
		esp_count(esp, ESP_STAT_EVENT_MALFORMED);
		return;
	}
	if (!esp->vif || test_bit(ESP_FLAG_REMOVING, &esp->flags)) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}
	if (skb_queue_len_lockless(&esp->events) >= ESP_EVENTS_MAX) {
		esp_count(esp, ESP_STAT_EVENT_BACKLOG);
		return;
	}
	skb = alloc_skb(frame->len, GFP_KERNEL);
	if (!skb) {
		esp_count(esp, ESP_STAT_RX_NOMEM);
		return;
	}
	skb_put_data(skb, frame->payload, frame->len);
	esp_skb_cb(skb)->pkt_type = frame->pkt_type;
	skb_queue_tail(&esp->events, skb);
	wiphy_work_queue(esp->wiphy, &esp->event_work);
}

/**
 * esp_event_work - handle queued events
 * @wiphy: the wiphy, its mutex held
 * @work: the device's event work
 */
void esp_event_work(struct wiphy *wiphy, struct wiphy_work *work)
{
	struct esp_hosted *esp = container_of(work, struct esp_hosted,
					      event_work);
	struct sk_buff_head batch;
	struct sk_buff *skb;

	/* Only what is here now: a flood must not keep the mutex for ever. */
	__skb_queue_head_init(&batch);
	spin_lock_irq(&esp->events.lock);
	skb_queue_splice_init(&esp->events, &batch);
	spin_unlock_irq(&esp->events.lock);

	esp_session_lock(&esp->vif->wdev);
	while ((skb = __skb_dequeue(&batch))) {
		switch (esp_skb_cb(skb)->pkt_type) {
		case ESP_PKT_EVENT:
			esp_event_handle(esp->vif, skb);
			break;
		case ESP_PKT_EAPOL:
			esp_ap_eapol(esp->vif, skb);
			break;
		default:
			esp_ap_tx_response(esp->vif, skb);
			break;
		}
		consume_skb(skb);
	}
	esp_session_unlock(&esp->vif->wdev);
}

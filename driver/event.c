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

/* Fixed fields of a beacon or probe response body */
#define ESP_BEACON_FIXED	12
/* 802.11 header and fixed fields of the shortest frames cfg80211 accepts */
#define ESP_AUTH_MIN		(24 + 6)
#define ESP_ASSOC_MIN		(24 + 6)

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

static bool esp_scan_wanted(const struct cfg80211_scan_request *request,
			    const struct ieee80211_channel *chan)
{
	u32 i;

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
	const struct esp_event_frame *ev = (const void *)skb->data;
	struct cfg80211_inform_bss data = {};
	struct esp_hosted *esp = vif->esp;
	enum cfg80211_bss_frame_type type;
	struct cfg80211_bss *bss;
	u8 bssid[ETH_ALEN];
	size_t len;
	s32 rssi;

	if (skb->len < sizeof(*ev) + ESP_BEACON_FIXED) {
		esp_malformed(esp, skb);
		return;
	}
	len = le16_to_cpu(ev->len);
	memcpy(bssid, ev->bssid, sizeof(bssid));
	if (len < ESP_BEACON_FIXED || len > skb->len - sizeof(*ev) ||
	    !is_valid_ether_addr(bssid)) {
		esp_malformed(esp, skb);
		return;
	}

	switch (ev->subtype) {
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

	data.chan = esp_channel(esp, ev->channel);
	if (!data.chan || (data.chan->flags & IEEE80211_CHAN_DISABLED) ||
	    (vif->scan.request &&
	     !esp_scan_wanted(vif->scan.request, data.chan))) {
		esp_count(esp, ESP_STAT_SCAN_FILTERED);
		return;
	}
	rssi = clamp_t(s32, le32_to_cpu(ev->rssi), S8_MIN, 0);
	data.signal = DBM_TO_MBM(rssi);
	data.boottime_ns = ktime_get_boottime_ns();
	if (vif->ap.started && type == CFG80211_BSS_FTYPE_BEACON)
		esp_report_neighbour(vif, data.chan, rssi, bssid, ev->frame,
				     len);

	bss = cfg80211_inform_bss_data(esp->wiphy, &data, type, bssid,
				       get_unaligned_le64(ev->frame),
				       get_unaligned_le16(ev->frame + 10),
				       get_unaligned_le16(ev->frame + 8),
				       ev->frame + ESP_BEACON_FIXED,
				       len - ESP_BEACON_FIXED, GFP_KERNEL);
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

/* The frame is synthetic; it must still be what the event says. */
static bool esp_mgmt_plausible(const struct esp_vif *vif, const u8 *frame,
			       __le16 fc)
{
	const struct ieee80211_hdr_3addr *hdr = (const void *)frame;

	return hdr->frame_control == fc &&
	       !memcmp(hdr->addr2, vif->sta.bssid, ETH_ALEN) &&
	       !memcmp(hdr->addr3, vif->sta.bssid, ETH_ALEN);
}

static void esp_event_auth(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_frame *ev = (const void *)skb->data;
	struct esp_hosted *esp = vif->esp;
	struct esp_sta *sta = &vif->sta;
	size_t len;

	if (skb->len < sizeof(*ev) + ESP_AUTH_MIN) {
		esp_malformed(esp, skb);
		return;
	}
	len = le16_to_cpu(ev->len);
	if (len < ESP_AUTH_MIN || len > skb->len - sizeof(*ev)) {
		esp_malformed(esp, skb);
		return;
	}
	if (sta->state != ESP_STA_AUTH || !sta->waiting ||
	    memcmp(ev->bssid, sta->bssid, ETH_ALEN) ||
	    (esp->gen == ESP_GEN_2 && le16_to_cpu(ev->seq) != sta->auth_seq)) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}
	if (!esp_mgmt_plausible(vif, ev->frame,
				cpu_to_le16(IEEE80211_FTYPE_MGMT |
					    IEEE80211_STYPE_AUTH))) {
		esp_malformed(esp, skb);
		return;
	}

	esp_sta_wait(vif, false);
	cfg80211_rx_mlme_mgmt(vif->ndev, ev->frame, len);
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
			best = max(best, elem->data[j] & 0x7f);
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

static void esp_sta_connected(struct esp_vif *vif, const u8 *frame, size_t len)
{
	struct esp_sta *sta = &vif->sta;
	struct rtnl_link_stats64 stats = {};
	const struct element *tim;

	esp_netdev_stats(vif, &stats);
	sta->state = ESP_STA_CONNECTED;
	sta->connected_since = ktime_get_boottime_seconds();
	sta->beacon_interval = sta->bss->beacon_interval;
	rcu_read_lock();
	tim = ieee80211_bss_get_elem(sta->bss, WLAN_EID_TIM);
	sta->dtim_period = tim && tim->datalen >= 2 ? tim->data[1] : 0;
	rcu_read_unlock();
	sta->signal = 0;
	sta->rx_packets = stats.rx_packets;
	sta->rx_bytes = stats.rx_bytes;
	sta->tx_packets = stats.tx_packets;
	sta->tx_bytes = stats.tx_bytes;
	esp_sta_set_rate(vif, sta->bss->channel, frame + ESP_ASSOC_MIN,
			 len - ESP_ASSOC_MIN);
	esp_netdev_set_carrier(vif, true);
}

static void esp_event_assoc(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_assoc_g1 *g1 = (const void *)skb->data;
	const struct esp_event_assoc_g2 *g2 = (const void *)skb->data;
	struct cfg80211_rx_assoc_resp_data resp = {};
	struct esp_hosted *esp = vif->esp;
	struct esp_sta *sta = &vif->sta;
	const u8 *frame;
	u16 seq = 0;
	size_t len;
	__le16 fc;

	if (skb->len < sizeof(*g2) + ESP_ASSOC_MIN) {
		esp_malformed(esp, skb);
		return;
	}
	if (esp->gen == ESP_GEN_2) {
		frame = g2->frame;
		len = le16_to_cpu(g2->len);
		seq = le16_to_cpu(g2->seq);
	} else {
		frame = g1->frame;
		len = le16_to_cpu(g1->len);
	}
	if (len < ESP_ASSOC_MIN || len != skb->len - (frame - skb->data)) {
		/* Does it fit the layout of the other generation? */
		if (sizeof(*g1) + le16_to_cpu(g1->len) == skb->len ||
		    sizeof(*g2) + le16_to_cpu(g2->len) == skb->len) {
			esp_count(esp, ESP_STAT_EVENT_GENERATION);
			dev_warn_ratelimited(esp->dev, "event in the layout of another firmware generation\n");
		} else {
			esp_malformed(esp, skb);
		}
		return;
	}
	if (sta->state != ESP_STA_ASSOC ||
	    memcmp(g1->bssid, sta->bssid, ETH_ALEN) ||
	    (esp->gen == ESP_GEN_2 && seq != sta->assoc_seq)) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}
	fc = cpu_to_le16(IEEE80211_FTYPE_MGMT | IEEE80211_STYPE_ASSOC_RESP);
	if (g1->subtype == IEEE80211_STYPE_REASSOC_RESP >> 4)
		fc = cpu_to_le16(IEEE80211_FTYPE_MGMT |
				 IEEE80211_STYPE_REASSOC_RESP);
	if (!esp_mgmt_plausible(vif, frame, fc)) {
		esp_malformed(esp, skb);
		return;
	}

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

static void esp_event_disconnect(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_disconnect_g2 *ev = (const void *)skb->data;
	struct esp_hosted *esp = vif->esp;
	struct esp_sta *sta = &vif->sta;
	size_t want, other;
	u16 seq = 0;

	want = esp->gen == ESP_GEN_2 ? sizeof(*ev) : sizeof(ev->g1);
	other = esp->gen == ESP_GEN_2 ? sizeof(ev->g1) : sizeof(*ev);
	if (skb->len == other) {
		esp_count(esp, ESP_STAT_EVENT_GENERATION);
		dev_warn_ratelimited(esp->dev, "event in the layout of another firmware generation\n");
		return;
	}
	if (skb->len != want) {
		esp_malformed(esp, skb);
		return;
	}

	if (esp->gen == ESP_GEN_2) {
		seq = le16_to_cpu(ev->seq);
		if (seq && seq == sta->disconnect_seq) {
			sta->disconnect_seq = 0;
			return;
		}
		if (seq && seq != sta->assoc_seq) {
			esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
			return;
		}
	} else if (sta->swallow &&
		   time_before(jiffies, sta->swallow_until) &&
		   !memcmp(ev->g1.bssid, sta->swallow_bssid, ETH_ALEN)) {
		sta->swallow = false;
		return;
	}
	/* A connection that never came about may have no address yet. */
	if (sta->state == ESP_STA_IDLE ||
	    (memcmp(ev->g1.bssid, sta->bssid, ETH_ALEN) &&
	     memchr_inv(ev->g1.bssid, 0, ETH_ALEN))) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}

	dev_dbg(esp->dev, "disconnected, firmware's reason %u\n",
		ev->g1.reason);
	if (sta->state == ESP_STA_CONNECTED || !sta->waiting)
		esp_sta_report_lost(vif, esp_reason_80211(ev->g1.reason),
				    ev->g1.reason < ESP_REASON_PSEUDO);
	else
		esp_sta_fail(vif);
}

static void esp_event_ap_mgmt(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_ap_mgmt *ev = (const void *)skb->data;
	const struct ieee80211_hdr *hdr = (const void *)ev->frame;
	struct esp_hosted *esp = vif->esp;
	struct ieee80211_channel *chan;
	u32 len;

	if (skb->len < sizeof(*ev) + sizeof(struct ieee80211_hdr_3addr)) {
		esp_malformed(esp, skb);
		return;
	}
	len = le32_to_cpu(ev->len);
	chan = esp_channel(esp, le32_to_cpu(ev->channel));
	if (len < sizeof(struct ieee80211_hdr_3addr) ||
	    len > skb->len - sizeof(*ev) || !chan ||
	    !ieee80211_is_mgmt(hdr->frame_control)) {
		esp_malformed(esp, skb);
		return;
	}
	if (!vif->ap.started) {
		esp_count(esp, ESP_STAT_EVENT_UNEXPECTED);
		return;
	}
	cfg80211_rx_mgmt(&vif->wdev, chan->center_freq,
			 clamp_t(s32, le32_to_cpu(ev->rssi), S8_MIN, 0),
			 ev->frame, len, 0);
}

static void esp_event_tx_status(struct esp_vif *vif, const struct sk_buff *skb)
{
	const struct esp_event_tx_status *ev = (const void *)skb->data;
	struct esp_hosted *esp = vif->esp;

	if (skb->len < sizeof(*ev)) {
		esp_malformed(esp, skb);
		return;
	}
	if (esp->gen != ESP_GEN_2) {
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
 * @frame: a frame of type %ESP_PKT_EVENT
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

	while ((skb = __skb_dequeue(&batch))) {
		if (esp_skb_cb(skb)->pkt_type == ESP_PKT_EVENT)
			esp_event_handle(esp->vif, skb);
		else
			esp_ap_tx_response(esp->vif, skb);
		consume_skb(skb);
	}
}

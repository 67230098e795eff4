// SPDX-License-Identifier: GPL-2.0-only
/*
 * The network interface: queueing towards the link, NAPI away from it.
 *
 * The link thread may sleep, NAPI may not. So the thread only puts received
 * frames and sent skbs on two queues and schedules NAPI; the poll delivers the
 * former with GRO and frees the latter.
 */

#include <linux/etherdevice.h>
#include <linux/if_ether.h>
#include <net/sock.h>

#include "esp_hosted.h"

/* The co-processor may be busy for seconds, and a dead one is seen before. */
#define ESP_TX_WATCHDOG		(12 * HZ)

/* Pre-authentication frames travel like EAPOL frames. */
static bool esp_is_eapol(__be16 proto)
{
	return proto == htons(ETH_P_PAE) || proto == htons(ETH_P_PREAUTH);
}

/* An EAPOL-Key frame without the Ethernet header in front */
static bool esp_is_bare_eapol(const struct esp_frame *frame)
{
	const struct esp_eapol_hdr *hdr = (const void *)frame->payload;

	return frame->len > sizeof(*hdr) && hdr->version &&
	       hdr->version <= ESP_EAPOL_VERSION_MAX &&
	       hdr->type == ESP_EAPOL_KEY &&
	       be16_to_cpu(hdr->len) <= frame->len - sizeof(*hdr);
}

static void esp_netdev_reset_queues(struct net_device *ndev)
{
	unsigned int ac;

	for (ac = 0; ac < ESP_AC_COUNT; ac++)
		netdev_tx_reset_queue(netdev_get_tx_queue(ndev, ac));
}

static int esp_ndo_open(struct net_device *ndev)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;
	int err = 0;

	skb_queue_purge(&vif->rx);
	skb_queue_purge(&vif->done);
	esp_netdev_reset_queues(ndev);

	wiphy_lock(esp->wiphy);
	/* A device that is restarting gets all this from the state worker. */
	if (esp_running(esp))
		err = esp_cfg80211_up(vif);
	else if (READ_ONCE(esp->state) == ESP_STATE_FAILED)
		err = -ENETDOWN;
	if (!err) {
		napi_enable(&vif->napi);
		WRITE_ONCE(vif->up, true);
		netif_tx_start_all_queues(ndev);
	}
	wiphy_unlock(esp->wiphy);
	if (err)
		netdev_err(ndev, "cannot start Wi-Fi: %d\n", err);

	return err;
}

static int esp_ndo_stop(struct net_device *ndev)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;

	netif_tx_stop_all_queues(ndev);
	WRITE_ONCE(vif->up, false);

	wiphy_lock(esp->wiphy);
	esp_cfg80211_down(vif);
	wiphy_unlock(esp->wiphy);

	/* The lock makes sure that no frame of ours is on its way out. */
	mutex_lock(&esp->link.lock);
	esp_link_purge(&esp->link, true);
	mutex_unlock(&esp->link.lock);

	napi_disable(&vif->napi);
	skb_queue_purge(&vif->rx);
	skb_queue_purge(&vif->done);
	esp_netdev_reset_queues(ndev);

	return 0;
}

/*
 * The link is the bottleneck, so what is urgent must not stand behind bulk data
 * in front of it. User priorities as in 802.11; the air itself is the chip's.
 */
static u16 esp_ndo_select_queue(struct net_device *ndev, struct sk_buff *skb,
				struct net_device *sb_dev)
{
	static const u8 categories[] = {
		NL80211_AC_BE, NL80211_AC_BK, NL80211_AC_BK,
		NL80211_AC_BE, NL80211_AC_VI, NL80211_AC_VI,
		NL80211_AC_VO, NL80211_AC_VO,
	};

	if (esp_is_eapol(skb->protocol))
		return NL80211_AC_VO;

	return categories[cfg80211_classify8021d(skb, NULL) & 7];
}

static netdev_tx_t esp_ndo_start_xmit(struct sk_buff *skb,
				      struct net_device *ndev)
{
	struct esp_vif *vif = netdev_priv(ndev);
	struct esp_hosted *esp = vif->esp;
	struct esp_link *link = &esp->link;
	bool eapol = esp_is_eapol(skb->protocol);
	u16 ac = skb_get_queue_mapping(skb);
	struct netdev_queue *txq = netdev_get_tx_queue(ndev, ac);
	struct sk_buff_head *queue = &link->data[ac];
	unsigned int len;

	if (unlikely(skb->len < ETH_HLEN || skb->len > ESP_TX_PAYLOAD_MAX)) {
		esp_count(esp, ESP_STAT_TX_BAD_LEN);
		goto drop;
	}
	if (unlikely(!esp_running(esp))) {
		esp_count(esp, ESP_STAT_TX_NOT_RUNNING);
		goto drop;
	}

	/*
	 * The port: firmware of generation 1 would send this in the clear while
	 * keys are still being negotiated. Stations of ours are the firmware's
	 * affair.
	 */
	if (unlikely(!eapol && vif->wdev.iftype == NL80211_IFTYPE_STATION &&
		     !READ_ONCE(vif->sta.authorized))) {
		esp_count(esp, ESP_STAT_TX_UNAUTHORIZED);
		goto drop;
	}

	*esp_skb_cb(skb) = (struct esp_skb_cb) {
		.if_type = esp_vif_if_type(vif),
		.pkt_type = eapol ? esp_layout(esp)->eapol_type : ESP_PKT_DATA,
		.net = true,
	};

	/* Account first: once queued, the link may finish it at any time. */
	netdev_tx_sent_queue(txq, skb->len);
	esp_link_send(link, eapol ? &link->control : queue, skb);

	len = skb_queue_len_lockless(queue);
	esp_high_water(esp, ESP_STAT_TX_HIGH_WATER, len);
	if (len >= READ_ONCE(vif->tx_limit)) {
		netif_tx_stop_queue(txq);
		esp_count(esp, ESP_STAT_TX_STOPS);
		/* Pairs with the barrier in esp_netdev_clean(). */
		smp_mb();
		if (skb_queue_len_lockless(queue) < READ_ONCE(vif->tx_limit))
			netif_tx_start_queue(txq);
	}

	return NETDEV_TX_OK;

drop:
	atomic_long_inc(&vif->tx_dropped);
	dev_kfree_skb_any(skb);

	return NETDEV_TX_OK;
}

static void esp_ndo_tx_timeout(struct net_device *ndev, unsigned int txqueue)
{
	struct esp_vif *vif = netdev_priv(ndev);

	esp_recover(vif->esp, "transmit queue stuck");
}

static int esp_ndo_set_mac_address(struct net_device *ndev, void *addr)
{
	struct esp_vif *vif = netdev_priv(ndev);
	int err;

	/* Refuses while the interface is up; ndo_open tells the firmware. */
	err = eth_mac_addr(ndev, addr);
	if (!err)
		vif->mac_changed = true;

	return err;
}

static void esp_ndo_get_stats64(struct net_device *ndev,
				struct rtnl_link_stats64 *stats)
{
	esp_netdev_stats(netdev_priv(ndev), stats);
}

static const struct net_device_ops esp_netdev_ops = {
	.ndo_open = esp_ndo_open,
	.ndo_stop = esp_ndo_stop,
	.ndo_select_queue = esp_ndo_select_queue,
	.ndo_start_xmit = esp_ndo_start_xmit,
	.ndo_tx_timeout = esp_ndo_tx_timeout,
	.ndo_set_mac_address = esp_ndo_set_mac_address,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_get_stats64 = esp_ndo_get_stats64,
};

/*
 * hostapd asks for the status of its EAPOL frames. That the co-processor took
 * the frame is the best we know: it reports no acknowledgements for data.
 */
static void esp_netdev_report_status(struct sk_buff *skb)
{
	struct sk_buff *status;

	if (!esp_wants_wifi_status(skb))
		return;
	status = skb_clone_sk(skb);
	if (status)
		skb_complete_wifi_ack(status, esp_skb_cb(skb)->sent);
}

/* Free what was sent, tell BQL, and let more come. */
static void esp_netdev_clean(struct esp_vif *vif, int budget)
{
	unsigned int packets[ESP_AC_COUNT] = {}, bytes[ESP_AC_COUNT] = {};
	struct esp_link *link = &vif->esp->link;
	struct net_device *ndev = vif->ndev;
	struct netdev_queue *txq;
	struct sk_buff *skb;
	unsigned int ac;

	while ((skb = skb_dequeue(&vif->done))) {
		ac = skb_get_queue_mapping(skb);
		packets[ac]++;
		bytes[ac] += skb->len;
		esp_netdev_report_status(skb);
		if (esp_skb_cb(skb)->sent) {
			dev_sw_netstats_tx_add(ndev, 1, skb->len);
			napi_consume_skb(skb, budget);
		} else {
			atomic_long_inc(&vif->tx_dropped);
			dev_kfree_skb_any(skb);
		}
	}
	for (ac = 0; ac < ESP_AC_COUNT; ac++) {
		txq = netdev_get_tx_queue(ndev, ac);
		if (packets[ac])
			netdev_tx_completed_queue(txq, packets[ac], bytes[ac]);
	}

	/* Pairs with the barrier in esp_ndo_start_xmit(). */
	smp_mb();
	for (ac = 0; ac < ESP_AC_COUNT; ac++) {
		txq = netdev_get_tx_queue(ndev, ac);
		if (netif_tx_queue_stopped(txq) && READ_ONCE(vif->up) &&
		    skb_queue_len_lockless(&link->data[ac]) <=
		    READ_ONCE(vif->tx_limit) / 2) {
			esp_count(vif->esp, ESP_STAT_TX_WAKES);
			netif_tx_wake_queue(txq);
		}
	}
}

static int esp_netdev_poll(struct napi_struct *napi, int budget)
{
	struct esp_vif *vif = container_of(napi, struct esp_vif, napi);
	struct sk_buff *skb;
	int done = 0;

	esp_count(vif->esp, ESP_STAT_NAPI_POLLS);
	esp_netdev_clean(vif, budget);

	while (done < budget && (skb = skb_dequeue(&vif->rx))) {
		dev_sw_netstats_rx_add(vif->ndev, skb->len);
		skb->protocol = eth_type_trans(skb, vif->ndev);
		napi_gro_receive(napi, skb);
		done++;
	}
	if (done < budget)
		napi_complete_done(napi, done);

	return done;
}

/**
 * esp_netdev_rx - hand a data frame over to NAPI
 * @esp: the device
 * @frame: a frame of type %ESP_PKT_DATA or %ESP_PKT_EAPOL
 *
 * Copies the frame: the buffer is due for the next transaction, and a copy is
 * exactly as large as needed and has its IP header aligned. Link thread.
 */
void esp_netdev_rx(struct esp_hosted *esp, const struct esp_frame *frame)
{
	struct esp_vif *vif = esp->vif;
	unsigned int queued;
	struct sk_buff *skb;
	enum esp_stat why;

	if (!vif || !READ_ONCE(vif->up)) {
		esp_count(esp, ESP_STAT_RX_NOT_RUNNING);
		return;
	}
	if (frame->if_type != esp_vif_if_type(vif)) {
		why = ESP_STAT_RX_BAD_ROLE;
		goto error;
	}
	if (frame->len < ETH_HLEN) {
		why = ESP_STAT_RX_RUNT;
		goto error;
	}
	if (frame->len > VLAN_ETH_FRAME_LEN) {
		why = ESP_STAT_RX_OVERSIZE;
		goto error;
	}
	if (frame->pkt_type == ESP_PKT_EAPOL &&
	    !esp_is_eapol(((const struct ethhdr *)frame->payload)->h_proto)) {
		/* Some firmware strips the header from re-keying frames. */
		if (frame->if_type == ESP_IF_AP && esp_is_bare_eapol(frame)) {
			esp_event_rx(esp, frame);
			return;
		}
		why = ESP_STAT_RX_BAD_EAPOL;
		goto error;
	}

	if (frame->if_type == ESP_IF_AP)
		esp_ap_heard(vif, frame->payload + ETH_ALEN);
	queued = skb_queue_len_lockless(&vif->rx);
	esp_high_water(esp, ESP_STAT_RX_HIGH_WATER, queued);
	if (queued >= READ_ONCE(vif->rx_limit)) {
		why = ESP_STAT_RX_BACKLOG;
		goto drop;
	}
	skb = netdev_alloc_skb_ip_align(vif->ndev, frame->len);
	if (!skb) {
		why = ESP_STAT_RX_NOMEM;
		goto drop;
	}
	skb_put_data(skb, frame->payload, frame->len);
	skb_queue_tail(&vif->rx, skb);

	return;

error:
	esp_count(esp, why);
	atomic_long_inc(&vif->rx_errors);
	return;

drop:
	esp_count(esp, why);
	atomic_long_inc(&vif->rx_dropped);
}

/**
 * esp_netdev_inject - hand a frame that was put together over to NAPI
 * @vif: the interface
 * @skb: an Ethernet frame, always consumed
 *
 * Process context. Have esp_netdev_schedule() follow.
 *
 * Return: false if there was no room, then it was dropped and counted
 */
bool esp_netdev_inject(struct esp_vif *vif, struct sk_buff *skb)
{
	if (!READ_ONCE(vif->up) ||
	    skb_queue_len_lockless(&vif->rx) >= READ_ONCE(vif->rx_limit)) {
		esp_count(vif->esp, ESP_STAT_RX_BACKLOG);
		atomic_long_inc(&vif->rx_dropped);
		kfree_skb(skb);
		return false;
	}
	skb_queue_tail(&vif->rx, skb);

	return true;
}

/**
 * esp_netdev_tx_done - take back a frame from the link
 * @vif: the interface
 * @skb: the frame, sent or dropped
 *
 * Freed by NAPI, see esp_netdev_schedule(). Any context.
 */
void esp_netdev_tx_done(struct esp_vif *vif, struct sk_buff *skb)
{
	skb_queue_tail(&vif->done, skb);
}

/**
 * esp_netdev_schedule - have NAPI look at its queues
 * @vif: the interface
 *
 * Process context. Enabling bottom halves afterwards runs the poll right away,
 * in the gap in which the co-processor prepares its next transaction.
 */
void esp_netdev_schedule(struct esp_vif *vif)
{
	if (skb_queue_empty_lockless(&vif->rx) &&
	    skb_queue_empty_lockless(&vif->done))
		return;
	local_bh_disable();
	napi_schedule(&vif->napi);
	local_bh_enable();
}

/**
 * esp_netdev_set_carrier - the interface gained or lost its connection
 * @vif: the interface
 * @on: gained
 */
void esp_netdev_set_carrier(struct esp_vif *vif, bool on)
{
	if (on != netif_carrier_ok(vif->ndev))
		netif_info(vif, link, vif->ndev, "carrier %s\n",
			   str_on_off(on));
	if (on)
		netif_carrier_on(vif->ndev);
	else
		netif_carrier_off(vif->ndev);
}

/**
 * esp_netdev_stats - standard counters of the interface
 * @vif: the interface
 * @stats: filled in
 *
 * Any context.
 */
void esp_netdev_stats(struct esp_vif *vif, struct rtnl_link_stats64 *stats)
{
	dev_fetch_sw_netstats(stats, vif->ndev->tstats);
	stats->rx_errors = atomic_long_read(&vif->rx_errors);
	stats->rx_dropped = atomic_long_read(&vif->rx_dropped);
	stats->tx_dropped = atomic_long_read(&vif->tx_dropped);
}

/**
 * esp_netdev_set_rings - set how many frames may wait
 * @vif: the interface
 * @tx: frames waiting for the link
 * @rx: frames waiting for NAPI
 *
 * The "rings" are queues, so a new limit just applies from now on.
 *
 * Return: 0
 */
int esp_netdev_set_rings(struct esp_vif *vif, u32 tx, u32 rx)
{
	WRITE_ONCE(vif->tx_limit, tx);
	WRITE_ONCE(vif->rx_limit, rx);
	/* A larger limit may let a stopped queue go on. */
	if (READ_ONCE(vif->up)) {
		local_bh_disable();
		napi_schedule(&vif->napi);
		local_bh_enable();
	}

	return 0;
}

/**
 * esp_netdev_alloc - allocate the network interface
 * @esp: the device
 *
 * Return: the interface, not registered yet, or %NULL
 */
struct net_device *esp_netdev_alloc(struct esp_hosted *esp)
{
	struct net_device *ndev;
	struct esp_vif *vif;

	ndev = alloc_netdev_mqs(sizeof(*vif), "wlan%d", NET_NAME_ENUM,
				ether_setup, ESP_AC_COUNT, 1);
	if (!ndev)
		return NULL;
	vif = netdev_priv(ndev);
	vif->esp = esp;
	vif->ndev = ndev;
	vif->tx_limit = ESP_RING_DEFAULT;
	vif->rx_limit = 4 * ESP_RING_DEFAULT;
	vif->msg_enable = NETIF_MSG_DRV | NETIF_MSG_PROBE | NETIF_MSG_LINK;
	skb_queue_head_init(&vif->rx);
	skb_queue_head_init(&vif->done);

	SET_NETDEV_DEV(ndev, esp->dev);
	ndev->netdev_ops = &esp_netdev_ops;
	ndev->ethtool_ops = &esp_ethtool_ops;
	ndev->watchdog_timeo = ESP_TX_WATCHDOG;
	esp_use_tstats(ndev);
	/* Queued skbs are linked into our lists. */
	ndev->priv_flags &= ~IFF_TX_SKB_SHARING;
	/*
	 * Every frame is copied once anyway, and that copy can gather pieces
	 * and fold the checksum in. No TSO: the stack's GSO does the same work
	 * as we would. No receive checksum: the chip verifies none, and the
	 * link's own sum proves nothing about the packet. GRO comes with NAPI.
	 * Frames with a VLAN tag of full size fit without asking.
	 */
	ndev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM;
	ndev->features = ndev->hw_features | NETIF_F_HIGHDMA;
	ndev->vlan_features = ndev->hw_features;
	netif_napi_add(ndev, &vif->napi, esp_netdev_poll);
	netif_carrier_off(ndev);

	return ndev;
}

/**
 * esp_netdev_free - free the network interface
 * @vif: the interface, unregistered or never registered, link stopped
 */
void esp_netdev_free(struct esp_vif *vif)
{
	skb_queue_purge(&vif->rx);
	skb_queue_purge(&vif->done);
	free_netdev(vif->ndev);
}

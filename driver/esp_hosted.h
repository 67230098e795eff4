/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private structures and functions of the ESP-Hosted driver.
 *
 * One co-processor is one struct esp_hosted; nothing is shared between
 * devices.
 *
 * Contexts: the link thread owns the bus and runs everything that a received
 * frame triggers directly (command completion, hand-over of data and events).
 * The state worker resets, starts and restarts the co-processor and may sleep
 * on commands. cfg80211 operations and events run under the wiphy mutex.
 */
#ifndef ESP_HOSTED_H
#define ESP_HOSTED_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/spi/spi.h>
#include <linux/workqueue.h>
#include <net/cfg80211.h>

#include "compat.h"
#include "frame.h"
#include "generation.h"

#define ESP_DRV_NAME		"esp_hosted"

struct devlink;
struct esp_hosted;
struct gpio_desc;
struct hci_dev;

/* Private counters, one reason each; named in ethtool.c */
enum esp_stat {
	ESP_STAT_TRANSACTIONS,
	ESP_STAT_IDLE,
	ESP_STAT_POLLS,
	ESP_STAT_HS_WAITS,
	ESP_STAT_HS_EDGES,
	ESP_STAT_HS_QUIET,
	ESP_STAT_DR_EDGES,
	ESP_STAT_SPI_ERRORS,
	ESP_STAT_SPI_RETRIES,
	ESP_STAT_RX_FRAMES,
	ESP_STAT_RX_BLANK,
	ESP_STAT_RX_BAD_IF,
	ESP_STAT_RX_EMPTY,
	ESP_STAT_RX_BAD_OFFSET,
	ESP_STAT_RX_BAD_LEN,
	ESP_STAT_RX_BAD_CSUM,
	ESP_STAT_RX_BAD_TYPE,
	ESP_STAT_RX_BAD_IFNUM,
	ESP_STAT_RX_NOT_RUNNING,
	ESP_STAT_RX_BAD_ROLE,
	ESP_STAT_RX_RUNT,
	ESP_STAT_RX_OVERSIZE,
	ESP_STAT_RX_BAD_EAPOL,
	ESP_STAT_RX_BARE_EAPOL,
	ESP_STAT_RX_BACKLOG,
	ESP_STAT_RX_NOMEM,
	ESP_STAT_HCI_RX_BAD,
	ESP_STAT_HCI_TX_BAD,
	ESP_STAT_TX_FRAMES,
	ESP_STAT_TX_PURGED,
	ESP_STAT_TX_BAD_LEN,
	ESP_STAT_TX_NOT_RUNNING,
	ESP_STAT_TX_UNAUTHORIZED,
	ESP_STAT_TX_STOPS,
	ESP_STAT_TX_WAKES,
	ESP_STAT_TX_HIGH_WATER,
	ESP_STAT_RX_HIGH_WATER,
	ESP_STAT_NAPI_POLLS,
	ESP_STAT_COMMANDS,
	ESP_STAT_CMD_FAILED,
	ESP_STAT_CMD_TIMEOUTS,
	ESP_STAT_CMD_CANCELLED,
	ESP_STAT_RESP_MALFORMED,
	ESP_STAT_RESP_UNEXPECTED,
	ESP_STAT_EVENTS,
	ESP_STAT_EVENT_MALFORMED,
	ESP_STAT_EVENT_GENERATION,
	ESP_STAT_EVENT_UNEXPECTED,
	ESP_STAT_EVENT_BACKLOG,
	ESP_STAT_EVENT_UNKNOWN,
	ESP_STAT_SCAN_FILTERED,
	ESP_STAT_SCAN_SPURIOUS,
	ESP_STAT_SCAN_TIMEOUTS,
	ESP_STAT_MLME_TIMEOUTS,
	ESP_STAT_BOOT_EVENTS,
	ESP_STAT_BOOT_MALFORMED,
	ESP_STAT_BOOT_TIMEOUTS,
	ESP_STAT_RESETS,
	ESP_STAT_RESTARTS,
	ESP_STAT_COUNT
};

extern const char esp_stat_names[ESP_STAT_COUNT][ETH_GSTRING_LEN];

/**
 * enum esp_state - life of a co-processor as the host sees it
 * @ESP_STATE_RESET: held in or coming out of reset, link closed
 * @ESP_STATE_BOOTING: link open, boot event awaited
 * @ESP_STATE_STARTING: boot event seen, state worker configures the firmware
 * @ESP_STATE_RUNNING: in service
 * @ESP_STATE_FAILED: gave up; a boot event still revives it
 * @ESP_STATE_SUSPENDED: quiet until resume
 * @ESP_STATE_GONE: being removed
 */
enum esp_state {
	ESP_STATE_RESET,
	ESP_STATE_BOOTING,
	ESP_STATE_STARTING,
	ESP_STATE_RUNNING,
	ESP_STATE_FAILED,
	ESP_STATE_SUSPENDED,
	ESP_STATE_GONE,
};

/* Bits in esp_hosted.flags */
enum esp_flag {
	ESP_FLAG_RESET,		/* state worker: reset the chip */
	ESP_FLAG_BOOTED,	/* state worker: a boot event was taken */
	ESP_FLAG_REMOVING,	/* no new work, short command time-outs */
	ESP_FLAG_WIFI_STARTED,	/* INIT_IF done since the last DEINIT_IF */
	ESP_FLAG_ATTACH,	/* state worker: it runs, but told nothing */
	ESP_FLAG_UPDATED,	/* new firmware written: a restart is due */
	ESP_FLAG_LEAVING,	/* about to suspend: short command time-outs */
};

/* Bits in esp_link.flags */
enum esp_link_flag {
	ESP_LINK_OPEN,		/* transactions allowed */
	ESP_LINK_DATA,		/* network frames may leave the queue */
	ESP_LINK_HS_EDGE,	/* handshake rose since the last start */
	ESP_LINK_WAIT_HS,	/* thread parked on handshake: no need to kick */
	ESP_LINK_TICK,		/* the link's timer ran out */
};

/* What happened since the last reset, bits in esp_link.seen */
enum esp_seen {
	ESP_SEEN_HS_IN_RESET,	/* handshake high while held in reset */
	ESP_SEEN_DR_IN_RESET,	/* data-ready high while held in reset */
	ESP_SEEN_HS_EDGE,
	ESP_SEEN_HS_HIGH,
	ESP_SEEN_DR,		/* data-ready: edge or level */
	ESP_SEEN_TRANSACTION,	/* one that the controller did not fail */
	ESP_SEEN_SPI_ERROR,
	ESP_SEEN_ZEROS,
	ESP_SEEN_ONES,
	ESP_SEEN_SHIFTED,
	ESP_SEEN_CHECKSUM,
	ESP_SEEN_DAMAGED,
	ESP_SEEN_IDLE,		/* filler: firmware runs, has nothing to say */
	ESP_SEEN_FRAME,
};

/* Reasons to expect a frame, bits in esp_link.expect */
enum esp_expect {
	ESP_EXPECT_BOOT,
	ESP_EXPECT_RESPONSE,
	ESP_EXPECT_SCAN,
	ESP_EXPECT_MLME,
	ESP_EXPECT_TX_STATUS,
};

/**
 * struct esp_skb_cb - what the link needs to know of a frame to send
 * @if_type: &enum esp_if_type
 * @pkt_type: &enum esp_pkt_type
 * @hci_type: H4 packet type, 0 unless HCI
 * @net: counted by BQL, goes back to the network interface when done
 * @sent: clocked out, set by the link
 * @no_ack: management frame that nobody wants the status of
 * @probe: management frame that shows whether a station is there
 * @cookie: management frame's name towards user space
 */
struct esp_skb_cb {
	u8 if_type;
	u8 pkt_type;
	u8 hci_type;
	bool net;
	bool sent;
	bool no_ack;
	bool probe;
	u64 cookie;
};

/* Queues of network frames, most urgent first, as cfg80211 numbers them */
#define ESP_AC_COUNT		NL80211_NUM_ACS

static inline struct esp_skb_cb *esp_skb_cb(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct esp_skb_cb) > sizeof(skb->cb));
	return (struct esp_skb_cb *)skb->cb;
}

/*
 * Of a frame only this much is kept: header, command header and what tells
 * frames apart. Keys and user data lie behind it.
 */
#define ESP_LOG_BYTES		28
#define ESP_LOG_ENTRIES		64

/**
 * struct esp_log - one transaction that was not idle
 * @when: when it ended, ns since boot
 * @err: result of the SPI transfer
 * @verdict: &enum esp_frame_verdict of @rx
 * @sent: @tx was a frame
 * @tx: first bytes sent
 * @rx: first bytes received
 */
struct esp_log {
	u64 when;
	int err;
	u8 verdict;
	bool sent;
	u8 tx[ESP_LOG_BYTES];
	u8 rx[ESP_LOG_BYTES];
};

/**
 * struct esp_link - the SPI link of one co-processor
 * @esp: the device
 * @spi: its SPI device
 * @hs: handshake line, high: a transaction is armed
 * @dr: data-ready line, high: the co-processor has a frame for us
 * @hs_irq: interrupt of @hs; its thread owns the bus
 * @dr_irq: interrupt of @dr
 * @worker: owns the bus instead where a line's GPIO chip sleeps
 * @work: what @worker runs
 * @flags: &enum esp_link_flag
 * @expect: &enum esp_expect
 * @seen: &enum esp_seen
 * @shift: bits by which frames were late, negative: early
 * @max_hz: limit of board and controller for the clock
 * @attached: no boot event was seen: whether checksums are used is not known
 * @log: the last transactions that were not idle, a ring
 * @logged: transactions logged since probe
 * @lock: held over each transaction and over looking for the next one
 * @msg: the one message, prepared once
 * @xfer: its one transfer
 * @tx: frame to send, DMA-safe
 * @rx: frame received, DMA-safe
 * @idle: zeros, sent when there is nothing to say
 * @tx_dirty: bytes of @tx that may be non-zero
 * @checksum: the firmware wants and sends checksums
 * @control: commands and EAPOL frames, in order
 * @hci: Bluetooth
 * @data: network frames by access category
 * @credit: frames that each access category may send before the others
 * @inflight: frame that could not be sent and has to be tried again
 * @retries: failed transactions in a row
 * @polls: transactions to run without being asked
 * @settle: a poll is due before the link may rest
 * @hs_high: handshake was high at the last look, and nothing was sent since
 * @hs_high_since: since when, by ktime_get()
 * @quiet: the transaction began without an edge
 * @hs_low: handshake is low while there is work
 * @hs_low_since: since when, in jiffies
 * @timer: settle poll, quiet period and handshake watchdog
 * @last_rx: header of the last frame received, for debugfs
 * @last_tx: header of the last frame sent, for debugfs
 */
struct esp_link {
	struct esp_hosted *esp;
	struct spi_device *spi;
	struct gpio_desc *hs;
	struct gpio_desc *dr;
	int hs_irq;
	int dr_irq;
	struct kthread_worker *worker;
	struct kthread_work work;

	unsigned long flags;
	unsigned long expect;
	unsigned long seen;
	int shift;
	u32 max_hz;
	bool attached;
	struct esp_log *log;
	unsigned long logged;

	struct mutex lock; /* held over each transaction */
	struct spi_message msg;
	struct spi_transfer xfer;
	u8 *tx;
	u8 *rx;
	u8 *idle;
	size_t tx_dirty;
	bool checksum;

	struct sk_buff_head control;
	struct sk_buff_head hci;
	struct sk_buff_head data[ESP_AC_COUNT];
	u8 credit[ESP_AC_COUNT];
	struct sk_buff *inflight;

	unsigned int retries;
	unsigned int polls;
	bool settle;
	bool hs_high;
	ktime_t hs_high_since;
	bool quiet;
	bool hs_low;
	unsigned long hs_low_since;
	struct timer_list timer;

	u8 last_rx[ESP_LOG_BYTES];
	u8 last_tx[ESP_LOG_BYTES];
};

/**
 * struct esp_cmd - one command, on the caller's stack
 * @code: &enum esp_cmd_code
 * @if_type: interface it is for
 * @option: byte 6 of the command header
 * @bringup: allowed before the device is in service
 * @resp: buffer for the result data, may be %NULL
 * @resp_size: bytes in @resp
 * @resp_len: bytes of result data the firmware sent, set on return
 * @seq: sequence number used, set before the command leaves
 * @resp_seq: sequence number in the response
 * @status: status byte of the response
 * @error: 0 or why there is no response
 * @skb: the request while it is queued; compared, never dereferenced
 * @done: completed by the link thread or by a cancel
 */
struct esp_cmd {
	u8 code;
	u8 if_type;
	u8 option;
	bool bringup;
	void *resp;
	size_t resp_size;
	size_t resp_len;
	u16 seq;
	u16 resp_seq;
	u8 status;
	int error;
	struct sk_buff *skb;
	struct completion done;
};

/**
 * struct esp_cmd_channel - the control channel
 * @mutex: one command at a time
 * @lock: protects @current_cmd against the link thread
 * @current_cmd: command waiting for its response
 * @seq: last sequence number used
 */
struct esp_cmd_channel {
	struct mutex mutex; /* one command at a time */
	spinlock_t lock; /* protects current_cmd */
	struct esp_cmd *current_cmd;
	u16 seq;
};

/**
 * enum esp_sta_state - where the station is
 * @ESP_STA_IDLE: no session
 * @ESP_STA_AUTH: an authentication was started
 * @ESP_STA_ASSOC: an association request is out
 * @ESP_STA_CONNECTED: associated
 */
enum esp_sta_state {
	ESP_STA_IDLE,
	ESP_STA_AUTH,
	ESP_STA_ASSOC,
	ESP_STA_CONNECTED,
};

/**
 * struct esp_sta - station role, protected by the wiphy mutex
 * @state: &enum esp_sta_state
 * @waiting: an answer of the access point is outstanding
 * @bssid: access point of the session
 * @bss: entry of the association, owned until its result is reported
 * @auth_seq: sequence number of the last STA_AUTH
 * @assoc_seq: sequence number of the last STA_ASSOC
 * @disconnect_seq: sequence number of the last DISCONNECT
 * @leaving: a STA_DISCONNECT for our own DISCONNECT is still to come
 * @leaving_until: but not after this, in jiffies
 * @left_bssid: and for this access point
 * @auth_until: how long an answered authentication lasts, in jiffies
 * @timeout: time limit for @waiting
 * @authorized: data may pass: the connection needs no keys, or has them
 * @mfp: management frames are protected
 * @chan: channel of the connection
 * @connected_since: start of the connection, seconds since boot
 * @rate: highest rate the association allows
 * @beacon_interval: of the access point, in TU
 * @dtim_period: of the access point, in beacons, 0 if unknown
 * @bss_flags: of the access point, BSS_PARAM_FLAGS_*
 * @rx_packets: interface counters at the start of the connection ...
 * @rx_bytes: ...
 * @tx_packets: ...
 * @tx_bytes: ...
 * @signal: last known signal in dBm, 0 if none
 */
struct esp_sta {
	enum esp_sta_state state;
	bool waiting;
	u8 bssid[ETH_ALEN];
	struct cfg80211_bss *bss;
	u16 auth_seq;
	u16 assoc_seq;
	u16 disconnect_seq;
	bool leaving;
	unsigned long leaving_until;
	u8 left_bssid[ETH_ALEN];
	unsigned long auth_until;
	struct wiphy_delayed_work timeout;
	bool authorized;
	bool mfp;
	struct ieee80211_channel *chan;
	time64_t connected_since;
	struct rate_info rate;
	u16 beacon_interval;
	u8 dtim_period;
	u8 bss_flags;
	u64 rx_packets;
	u64 rx_bytes;
	u64 tx_packets;
	u64 tx_bytes;
	s8 signal;
};

/**
 * struct esp_scan - scanning, protected by the wiphy mutex
 * @request: what cfg80211 wants, %NULL when not scanning
 * @noise: an authentication's own scan may still report its end
 * @noise_until: but not after this, in jiffies
 * @ended: an end was seen that may have been noise
 * @watchdog: ends a scan whose end never comes
 */
struct esp_scan {
	struct cfg80211_scan_request *request;
	bool noise;
	unsigned long noise_until;
	bool ended;
	struct wiphy_delayed_work watchdog;
};

#define ESP_AP_STATIONS		8	/* the firmware takes no more */

/**
 * struct esp_ap_station - a station of our access point
 * @mac: its address, zero if the entry is free
 * @flags: nl80211's flags
 * @since: when it associated, seconds since boot
 * @heard: when a frame of its, or its acknowledgment, last got here, jiffies
 */
struct esp_ap_station {
	u8 mac[ETH_ALEN];
	u32 flags;
	time64_t since;
	unsigned long heard;
};

/**
 * struct esp_ap - access-point role, protected by the wiphy mutex
 * @started: beacons are sent
 * @chandef: on this channel
 * @stations: the stations the firmware knows
 * @lock: protects their addresses and when they were heard, for the link
 *	thread, which has no wiphy mutex
 * @tx: management frames to send, the first one is with the firmware
 * @sent: the first frame of @tx is with the firmware
 * @timeout: time limit for its status
 */
struct esp_ap {
	bool started;
	struct cfg80211_chan_def chandef;
	struct esp_ap_station stations[ESP_AP_STATIONS];
	spinlock_t lock; /* protects addresses and times of stations */
	struct sk_buff_head tx;
	bool sent;
	struct wiphy_delayed_work timeout;
};

/**
 * struct esp_vif - the network interface, its net_device's private area
 * @esp: the device
 * @ndev: the interface
 * @wdev: its cfg80211 side
 * @napi: delivers received frames and frees sent ones
 * @rx: received frames for @napi
 * @done: sent or dropped frames for @napi
 * @up: open; the link thread may hand over frames
 * @tx_limit: frames in a data queue at which transmission stops
 * @rx_limit: frames in @rx at which the link thread drops
 * @msg_enable: ethtool message level
 * @mac_changed: the address is not the firmware's own
 * @sta: station role
 * @scan: scanning
 * @ap: access-point role
 * @rx_errors: errors counted by the link thread
 * @rx_dropped: drops counted by the link thread
 * @tx_dropped: drops on the transmit path
 */
struct esp_vif {
	struct esp_hosted *esp;
	struct net_device *ndev;
	struct wireless_dev wdev;
	struct napi_struct napi;
	struct sk_buff_head rx;
	struct sk_buff_head done;
	bool up;
	unsigned int tx_limit;
	unsigned int rx_limit;
	u32 msg_enable;
	bool mac_changed;
	struct esp_sta sta;
	struct esp_scan scan;
	struct esp_ap ap;
	atomic_long_t rx_errors;
	atomic_long_t rx_dropped;
	atomic_long_t tx_dropped;
};

/* Bits in esp_hosted.priv_flags, named in ethtool.c */
enum esp_priv_flag {
	ESP_PRIV_AUTO_RESET,	/* reset a co-processor that misbehaves */
	ESP_PRIV_POLL,		/* look for frames whose edge was lost */
	ESP_PRIV_COUNT
};

/**
 * struct esp_test - raw throughput, for the self-test
 * @on: test frames are expected
 * @frames: how many came
 * @bad: how many of them had wrong contents
 */
struct esp_test {
	bool on;
	unsigned int frames;
	unsigned int bad;
};

/**
 * struct esp_hosted - one co-processor
 * @dev: the SPI device's device
 * @spi: the SPI device
 * @reset: reset line, may be %NULL
 * @link: SPI link
 * @cmd: control channel
 * @state_lock: protects @state, @boot and the order between them
 * @state: &enum esp_state
 * @resume_state: the state before suspend
 * @flags: &enum esp_flag
 * @reset_reason: why the next reset happens, a string constant
 * @wq: ordered workqueue of @work and @boot_timeout
 * @work: state worker
 * @boot_timeout: runs when no boot event came
 * @boot_tries: resets since the device last ran
 * @boot_late: without a reset line: the first look is over
 * @crashed: the last boot event came while the device was in service
 * @boot: contents of the last good boot event
 * @gen: protocol generation, decided anew after every boot
 * @fw_version: firmware version as text
 * @wiphy: registered after the first boot, then kept
 * @vif: the network interface, likewise
 * @bands: per-device copies of what the chip supports
 * @rates: bit rates of both bands
 * @channels_2ghz: channels of the 2.4 GHz band
 * @channels_5ghz: channels of the 5 GHz band
 * @event_work: handles @events under the wiphy mutex
 * @events: event frames from the link thread
 * @regd_work: forwards the regulatory domain
 * @mgmt_work: sends management frames
 * @country: regulatory domain wanted, protected by @state_lock
 * @country_sent: regulatory domain the firmware has
 * @mode: &enum esp_mode the firmware is in, wiphy mutex
 * @tx_power: transmit power limit in mBm, 0 if never set
 * @stats: private counters
 * @debugfs: debugfs directory
 * @priv_flags: &enum esp_priv_flag
 * @restarted: completed when a device came back into service
 * @devlink: for firmware updates, %NULL without them
 * @hdev: Bluetooth controller, changed under the link's lock
 * @test: self-test, under the link's lock
 */
struct esp_hosted {
	struct device *dev;
	struct spi_device *spi;
	struct gpio_desc *reset;
	struct esp_link link;
	struct esp_cmd_channel cmd;

	spinlock_t state_lock; /* protects state, boot and country */
	enum esp_state state;
	enum esp_state resume_state;
	unsigned long flags;
	const char *reset_reason;
	struct workqueue_struct *wq;
	struct work_struct work;
	struct delayed_work boot_timeout;
	unsigned int boot_tries;
	bool boot_late;
	bool crashed;

	struct esp_boot_info boot;
	enum esp_generation gen;
	char fw_version[32];

	struct wiphy *wiphy;
	struct esp_vif *vif;
	struct ieee80211_supported_band bands[2];
	struct ieee80211_rate rates[12];
	struct ieee80211_channel channels_2ghz[14];
	struct ieee80211_channel channels_5ghz[28];
	struct wiphy_work event_work;
	struct sk_buff_head events;
	struct wiphy_work regd_work;
	struct wiphy_work mgmt_work;
	char country[2];
	char country_sent[2];
	u16 mode;
	int tx_power;

	atomic_long_t stats[ESP_STAT_COUNT];
	struct dentry *debugfs;

	unsigned long priv_flags;
	struct completion restarted;
	struct devlink *devlink;
	struct hci_dev *hdev;
	struct esp_test test;

	/* private: what only older kernels need */
	ESP_COMPAT_FIELDS;
};

static inline void esp_count(struct esp_hosted *esp, enum esp_stat stat)
{
	atomic_long_inc(&esp->stats[stat]);
}

static inline unsigned long esp_stat(const struct esp_hosted *esp,
				     enum esp_stat stat)
{
	return atomic_long_read(&esp->stats[stat]);
}

static inline void esp_high_water(struct esp_hosted *esp, enum esp_stat stat,
				  long level)
{
	long seen = atomic_long_read(&esp->stats[stat]);

	while (level > seen &&
	       !atomic_long_try_cmpxchg(&esp->stats[stat], &seen, level))
		;
}

static inline bool esp_running(struct esp_hosted *esp)
{
	return READ_ONCE(esp->state) == ESP_STATE_RUNNING;
}

/* The protocol's generation that the firmware speaks since its last boot */
static inline const struct esp_layout *esp_layout(const struct esp_hosted *esp)
{
	return &esp_layouts[READ_ONCE(esp->gen)];
}

/* Interface type of the role the network interface has now */
static inline u8 esp_vif_if_type(const struct esp_vif *vif)
{
	return vif->wdev.iftype == NL80211_IFTYPE_AP ? ESP_IF_AP : ESP_IF_STA;
}

/* main.c */
void esp_recover(struct esp_hosted *esp, const char *reason);
void esp_boot_event(struct esp_hosted *esp, const struct esp_frame *frame);
const char *esp_state_name(enum esp_state state);

/* link.c */
int esp_link_init(struct esp_hosted *esp);
void esp_link_free(struct esp_link *link);
void esp_link_open(struct esp_link *link);
void esp_link_close(struct esp_link *link);
void esp_link_kick(struct esp_link *link);
void esp_link_send(struct esp_link *link, struct sk_buff_head *queue,
		   struct sk_buff *skb);
bool esp_link_unsend(struct esp_link *link, struct sk_buff *skb);
void esp_link_purge(struct esp_link *link, bool net_only);
void esp_link_set_clock(struct esp_link *link, u32 hz);
void esp_link_sample_reset(struct esp_link *link);
void esp_link_expect(struct esp_link *link, enum esp_expect what, bool on);

/* cmd.c */
void esp_cmd_init(struct esp_hosted *esp);
int esp_cmd_exec(struct esp_hosted *esp, struct esp_cmd *cmd, void *req,
		 size_t len, const void *tail, size_t tail_len);
int esp_cmd_simple(struct esp_hosted *esp, u8 code, u8 if_type);
void esp_cmd_cancel(struct esp_hosted *esp, int error);
void esp_cmd_response(struct esp_hosted *esp, const struct esp_frame *frame);
int esp_cmd_start(struct esp_hosted *esp);
int esp_cmd_leave(struct esp_hosted *esp);
int esp_cmd_get_mac(struct esp_hosted *esp, u8 if_type, u8 *mac);
int esp_cmd_set_mac(struct esp_hosted *esp, u8 if_type, const u8 *mac);

/* event.c */
void esp_assoc_refused(struct esp_vif *vif);
void esp_event_rx(struct esp_hosted *esp, const struct esp_frame *frame);
void esp_event_work(struct wiphy *wiphy, struct wiphy_work *work);

/* netdev.c */
struct net_device *esp_netdev_alloc(struct esp_hosted *esp);
void esp_netdev_free(struct esp_vif *vif);
void esp_netdev_rx(struct esp_hosted *esp, const struct esp_frame *frame);
void esp_netdev_tx_done(struct esp_vif *vif, struct sk_buff *skb);
void esp_netdev_schedule(struct esp_vif *vif);
bool esp_netdev_inject(struct esp_vif *vif, struct sk_buff *skb);
void esp_netdev_set_carrier(struct esp_vif *vif, bool on);
void esp_netdev_stats(struct esp_vif *vif, struct rtnl_link_stats64 *stats);
int esp_netdev_set_rings(struct esp_vif *vif, u32 tx, u32 rx);
#define ESP_RING_MIN		4
#define ESP_RING_MAX		512
#define ESP_RING_DEFAULT	64

/* ethtool.c */
extern const struct ethtool_ops esp_ethtool_ops;

/* cfg80211.c, sta.c, ap.c, scan.c */
int esp_cfg80211_register(struct esp_hosted *esp, const u8 *mac);
void esp_cfg80211_unregister(struct esp_hosted *esp);
void esp_cfg80211_restarted(struct esp_hosted *esp);
int esp_cfg80211_replay(struct esp_hosted *esp);
int esp_cfg80211_up(struct esp_vif *vif);
void esp_cfg80211_down(struct esp_vif *vif);
void esp_ap_tx_status(struct esp_vif *vif, u64 cookie, bool ack);
void esp_ap_tx_response(struct esp_vif *vif, const struct sk_buff *skb);
void esp_ap_heard(struct esp_vif *vif, const u8 *mac);
void esp_ap_eapol(struct esp_vif *vif, const struct sk_buff *skb);
int esp_cfg80211_disconnect(struct esp_vif *vif, u16 reason);
void esp_scan_finish(struct esp_vif *vif, bool aborted);
void esp_sta_end(struct esp_vif *vif);
void esp_sta_wait(struct esp_vif *vif, bool on);
void esp_sta_report_lost(struct esp_vif *vif, u16 reason, bool from_ap);
void esp_sta_fail(struct esp_vif *vif);

/* selftest.c */
extern const char esp_test_names[][ETH_GSTRING_LEN];
void esp_self_test(struct net_device *ndev, struct ethtool_test *test,
		   u64 *data);
void esp_test_rx(struct esp_hosted *esp, const struct esp_frame *frame);
#define ESP_TEST_COUNT		7

/* ota.c */
#if IS_ENABLED(CONFIG_ESP_HOSTED_UPDATE)
int esp_ota_register(struct esp_hosted *esp);
void esp_ota_unregister(struct esp_hosted *esp);
#else
static inline int esp_ota_register(struct esp_hosted *esp)
{
	return 0;
}

static inline void esp_ota_unregister(struct esp_hosted *esp)
{
}
#endif

/* hci.c */
#if IS_ENABLED(CONFIG_ESP_HOSTED_BT)
void esp_hci_start(struct esp_hosted *esp);
void esp_hci_stop(struct esp_hosted *esp);
void esp_hci_rx(struct esp_hosted *esp, const struct esp_frame *frame);
#else
static inline void esp_hci_start(struct esp_hosted *esp)
{
}

static inline void esp_hci_stop(struct esp_hosted *esp)
{
}

static inline void esp_hci_rx(struct esp_hosted *esp,
			      const struct esp_frame *frame)
{
	esp_count(esp, ESP_STAT_RX_BAD_IF);
}
#endif

/* report.c */
size_t esp_report(struct esp_hosted *esp, const char *reason, char *buf,
		  size_t size);
void esp_coredump(struct esp_hosted *esp, const char *reason);
#define ESP_REPORT_SIZE		(32 * 1024)

/* debugfs.c */
void esp_debugfs_init(void);
void esp_debugfs_exit(void);
void esp_debugfs_add(struct esp_hosted *esp);
void esp_debugfs_remove(struct esp_hosted *esp);

#endif /* ESP_HOSTED_H */

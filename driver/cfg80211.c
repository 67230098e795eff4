// SPDX-License-Identifier: GPL-2.0-only
/*
 * cfg80211: the wiphy, its one interface, and what concerns the whole radio.
 *
 * All state behind cfg80211's operations is protected by the wiphy mutex; the
 * roles are in sta.c and ap.c, scans in scan.c, keys in key.c.
 */

#include <linux/ctype.h>
#include <linux/etherdevice.h>
#include <linux/ieee80211.h>
#include <linux/rtnetlink.h>

#include "cfg80211.h"

#define ESP_TX_POWER_MIN	200	/* mBm */
#define ESP_TX_POWER_MAX	2000

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

static int esp_get_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			   const u8 *mac, struct station_info *sinfo)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);

	if (wdev->iftype == NL80211_IFTYPE_AP)
		return esp_ap_get_station(vif, mac, sinfo);

	return esp_sta_get_station(vif, mac, sinfo);
}

static int esp_dump_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			    int idx, u8 *mac, struct station_info *sinfo)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);

	if (wdev->iftype == NL80211_IFTYPE_AP)
		return esp_ap_dump_station(vif, idx, mac, sinfo);

	return esp_sta_dump_station(vif, idx, mac, sinfo);
}

static int esp_change_station(struct wiphy *wiphy, struct wireless_dev *wdev,
			      const u8 *mac, struct station_parameters *params)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);

	if (wdev->iftype == NL80211_IFTYPE_AP)
		return esp_ap_change_station(vif, mac, params);

	return esp_sta_change_station(vif, mac, params);
}

static int esp_get_channel(struct wiphy *wiphy, struct wireless_dev *wdev,
			   unsigned int link_id,
			   struct cfg80211_chan_def *chandef)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);

	if (wdev->iftype == NL80211_IFTYPE_AP) {
		if (!vif->ap.started)
			return -ENODATA;
		*chandef = vif->ap.chandef;
		return 0;
	}
	if (vif->sta.state != ESP_STA_CONNECTED)
		return -ENODATA;
	/* Wider ones are between the firmware and its access point. */
	cfg80211_chandef_create(chandef, vif->sta.chan,
				vif->sta.rate.flags & RATE_INFO_FLAGS_MCS ?
				NL80211_CHAN_HT20 : NL80211_CHAN_NO_HT);

	return 0;
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

/* Radio */

/* The wiphy is there, and may be asked for things, before its interface. */
static u8 esp_radio_if_type(const struct esp_hosted *esp)
{
	return esp->vif ? esp_vif_if_type(esp->vif) : ESP_IF_STA;
}

static int esp_send_tx_power(struct esp_hosted *esp, int mbm)
{
	struct esp_cmd cmd = {
		.code = ESP_CMD_SET_TXPOWER,
		.if_type = esp_radio_if_type(esp),
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
		.if_type = esp_radio_if_type(esp),
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
		.if_type = esp_radio_if_type(esp),
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
	.get_channel = ESP_OP_LINK(esp_get_channel),
	.get_station = ESP_OP(esp_get_station),
	.dump_station = ESP_OP(esp_dump_station),
	.add_station = ESP_OP(esp_add_station),
	.del_station = ESP_OP(esp_del_station),
	.change_station = ESP_OP(esp_change_station),
	.add_key = ESP_OP_KEY(esp_add_key),
	.del_key = ESP_OP_KEY(esp_del_key),
	.set_default_key = ESP_OP_DEFAULT_KEY(esp_set_default_key),
	.set_default_mgmt_key = ESP_OP_KEY(esp_set_default_mgmt_key),
	.start_ap = esp_start_ap,
	.change_beacon = ESP_OP_BEACON(esp_change_beacon),
	.stop_ap = ESP_OP_LINK(esp_stop_ap),
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
		err = esp_ap_mode(esp);
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
	esp_session_lock(&vif->wdev);
	esp_sta_abort(vif);
	esp_session_unlock(&vif->wdev);
	vif->scan.noise = false;
	vif->sta.leaving = false;
	esp_ap_abort(vif);
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
	esp_wiphy_lock(esp);
	skb_queue_purge(&esp->events);
	esp_cfg80211_abort(esp->vif);
	memset(esp->country_sent, 0, sizeof(esp->country_sent));
	esp_wiphy_unlock(esp);
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

	esp_wiphy_lock(esp);
	if (READ_ONCE(vif->up))
		err = esp_cfg80211_up(vif);
	if (!err && esp->tx_power)
		err = esp_send_tx_power(esp, esp->tx_power);
	if (!err)
		err = esp_send_country(esp);
	esp_wiphy_unlock(esp);

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

/*
 * One spatial stream of 20 MHz, the only width that can be asked for; that the
 * firmware may agree on 40 MHz with its access point is its own affair.
 */
static void esp_setup_ht(struct ieee80211_supported_band *band)
{
	struct ieee80211_sta_ht_cap *ht = &band->ht_cap;

	ht->ht_supported = true;
	ht->cap = IEEE80211_HT_CAP_SGI_20 |
		  WLAN_HT_CAP_SM_PS_DISABLED << IEEE80211_HT_CAP_SM_PS_SHIFT;
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
	wiphy->mgmt_stypes = esp_ap_mgmt_stypes;
	wiphy->max_ap_assoc_sta = ESP_AP_STATIONS;
	wiphy->flags |= WIPHY_FLAG_NETNS_OK | WIPHY_FLAG_REPORTS_OBSS;
	/* The firmware decides about power saving, see its configuration. */
	wiphy->flags &= ~WIPHY_FLAG_PS_ON_BY_DEFAULT;
	wiphy->signal_type = CFG80211_SIGNAL_TYPE_MBM;
	wiphy->max_scan_ssids = 1;
	wiphy->cipher_suites = esp_ciphers;
	wiphy->n_cipher_suites = ARRAY_SIZE(esp_ciphers);
	wiphy->features = NL80211_FEATURE_SAE |
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
	esp_scan_init(vif);
	esp_sta_init(vif);
	esp_ap_init(vif);
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
	esp_wiphy_lock(esp);
	wiphy_work_cancel(wiphy, &esp->event_work);
	wiphy_work_cancel(wiphy, &esp->regd_work);
	wiphy_work_cancel(wiphy, &esp->mgmt_work);
	esp_wiphy_unlock(esp);
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
	wiphy_delayed_work_cancel(wiphy, &esp->vif->sta.timeout);
	wiphy_delayed_work_cancel(wiphy, &esp->vif->scan.watchdog);
	wiphy_delayed_work_cancel(wiphy, &esp->vif->ap.timeout);
	wiphy_work_cancel(wiphy, &esp->event_work);
	wiphy_work_cancel(wiphy, &esp->regd_work);
	wiphy_work_cancel(wiphy, &esp->mgmt_work);
	wiphy_unlock(wiphy);
	rtnl_unlock();
	wiphy_unregister(wiphy);
}

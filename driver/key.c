// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keys. On the wire the index alone tells what a key is for: 0 pairwise, 1 to 3
 * group, 4 and 5 management group.
 */

#include <linux/etherdevice.h>

#include "cfg80211.h"

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

int esp_add_key(struct wiphy *wiphy, struct wireless_dev *wdev,
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
	if (pairwise != !index || index > 5)
		return -EOPNOTSUPP;
	/* And the last two are for management frames only. */
	if (index >= 4 ? alg != ESP_KEY_IGTK : alg == ESP_KEY_IGTK)
		return -EINVAL;
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
 * No firmware forgets a key when told to, and some has never been told: keys
 * end with the session.
 */
int esp_del_key(struct wiphy *wiphy, struct wireless_dev *wdev,
		int link_id, u8 index, bool pairwise, const u8 *mac)
{
	struct esp_vif *vif = container_of(wdev, struct esp_vif, wdev);
	struct esp_cmd cmd = { .code = ESP_CMD_DEL_KEY };
	struct esp_req_key req = { .del = 1 };

	if (!esp_layout(vif->esp)->del_key || !esp_running(vif->esp))
		return 0;
	req.index = cpu_to_le32(index);
	if (pairwise && mac)
		memcpy(req.mac, mac, ETH_ALEN);
	cmd.if_type = esp_vif_if_type(vif);

	return esp_cmd_exec(vif->esp, &cmd, &req, sizeof(req), NULL, 0);
}

int esp_set_default_key(struct wiphy *wiphy, struct net_device *ndev,
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
int esp_set_default_mgmt_key(struct wiphy *wiphy,
			     struct wireless_dev *wdev, int link_id,
			     u8 index)
{
	return 0;
}

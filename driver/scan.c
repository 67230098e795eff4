// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scanning. The firmware has one forwarding mask for management frames, which
 * every scan and every authentication replaces: the two must not overlap.
 */

#include <linux/delay.h>
#include <linux/etherdevice.h>

#include "cfg80211.h"

#define ESP_SCAN_TIMEOUT	(15 * HZ)

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

int esp_scan(struct wiphy *wiphy, struct cfg80211_scan_request *request)
{
	struct esp_cmd cmd = { .code = ESP_CMD_SCAN };
	struct esp_hosted *esp = esp_from_wiphy(wiphy);
	struct esp_vif *vif = esp->vif;
	struct esp_req_scan req = {};
	unsigned int tries = 0;
	int err;

	/* See above: an answer to an authentication would be lost. */
	if (vif->scan.request || esp_sta_busy(vif))
		return -EBUSY;
	cmd.if_type = esp_vif_if_type(vif);
	/* A name with a NUL in it cannot be sent; results are the same. */
	if (request->n_ssids && request->ssids[0].ssid_len <= ESP_SSID_LEN &&
	    !memchr(request->ssids[0].ssid, 0, request->ssids[0].ssid_len))
		memcpy(req.ssid, request->ssids[0].ssid,
		       request->ssids[0].ssid_len);
	if (request->n_channels == 1)
		req.channel = request->channels[0]->hw_value;
	if (esp_layout(esp)->scan_bssid &&
	    !is_broadcast_ether_addr(request->bssid))
		memcpy(req.bssid, request->bssid, ETH_ALEN);

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

/**
 * esp_scan_init - set up scanning
 * @vif: the interface, being made
 */
void esp_scan_init(struct esp_vif *vif)
{
	wiphy_delayed_work_init(&vif->scan.watchdog, esp_scan_watchdog);
}

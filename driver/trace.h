/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM esp_hosted

#if !defined(ESP_HOSTED_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ESP_HOSTED_TRACE_H

#include <linux/tracepoint.h>

#include "esp_hosted.h"

#define show_pkt_type(type)				\
	__print_symbolic(type,				\
			 { ESP_PKT_DATA, "data" },	\
			 { ESP_PKT_COMMAND, "command" }, \
			 { ESP_PKT_RESPONSE, "response" }, \
			 { ESP_PKT_EVENT, "event" },	\
			 { ESP_PKT_EAPOL, "eapol" })

#define show_state(state)				\
	__print_symbolic(state,				\
			 { ESP_STATE_RESET, "reset" },	\
			 { ESP_STATE_BOOTING, "booting" }, \
			 { ESP_STATE_STARTING, "starting" }, \
			 { ESP_STATE_RUNNING, "running" }, \
			 { ESP_STATE_FAILED, "failed" }, \
			 { ESP_STATE_SUSPENDED, "suspended" }, \
			 { ESP_STATE_GONE, "gone" })

#define show_verdict(verdict)				\
	__print_symbolic(verdict,			\
			 { ESP_FRAME_OK, "frame" },	\
			 { ESP_FRAME_IDLE, "idle" },	\
			 { ESP_FRAME_BLANK, "blank" },	\
			 { ESP_FRAME_BAD_IF, "bad-interface" }, \
			 { ESP_FRAME_EMPTY, "empty" },	\
			 { ESP_FRAME_BAD_OFFSET, "bad-offset" }, \
			 { ESP_FRAME_BAD_LEN, "bad-length" }, \
			 { ESP_FRAME_BAD_CHECKSUM, "bad-checksum" })

TRACE_EVENT(esp_state,
	    TP_PROTO(const struct esp_hosted *esp, enum esp_state old,
		     enum esp_state new),
	    TP_ARGS(esp, old, new),
	    TP_STRUCT__entry(__string(dev, dev_name(esp->dev))
			     __field(int, old)
			     __field(int, new)),
	    TP_fast_assign(ESP_ASSIGN_STR(dev);
			   __entry->old = old;
			   __entry->new = new;),
	    TP_printk("%s %s -> %s", __get_str(dev), show_state(__entry->old),
		      show_state(__entry->new))
);

TRACE_EVENT(esp_transaction,
	    TP_PROTO(const struct esp_hosted *esp, bool tx, int verdict,
		     int err),
	    TP_ARGS(esp, tx, verdict, err),
	    TP_STRUCT__entry(__string(dev, dev_name(esp->dev))
			     __field(bool, tx)
			     __field(int, verdict)
			     __field(int, err)),
	    TP_fast_assign(ESP_ASSIGN_STR(dev);
			   __entry->tx = tx;
			   __entry->verdict = verdict;
			   __entry->err = err;),
	    TP_printk("%s tx=%s rx=%s err=%d", __get_str(dev),
		      __entry->tx ? "frame" : "filler",
		      show_verdict(__entry->verdict), __entry->err)
);

DECLARE_EVENT_CLASS(esp_frame_class,
		    TP_PROTO(const struct esp_hosted *esp, u8 if_type,
			     u8 pkt_type, u16 len),
		    TP_ARGS(esp, if_type, pkt_type, len),
		    TP_STRUCT__entry(__string(dev, dev_name(esp->dev))
				     __field(u8, if_type)
				     __field(u8, pkt_type)
				     __field(u16, len)),
		    TP_fast_assign(ESP_ASSIGN_STR(dev);
				   __entry->if_type = if_type;
				   __entry->pkt_type = pkt_type;
				   __entry->len = len;),
		    TP_printk("%s if=%u type=%s len=%u", __get_str(dev),
			      __entry->if_type,
			      show_pkt_type(__entry->pkt_type), __entry->len)
);

DEFINE_EVENT(esp_frame_class, esp_frame_rx,
	     TP_PROTO(const struct esp_hosted *esp, u8 if_type, u8 pkt_type,
		      u16 len),
	     TP_ARGS(esp, if_type, pkt_type, len)
);

DEFINE_EVENT(esp_frame_class, esp_frame_tx,
	     TP_PROTO(const struct esp_hosted *esp, u8 if_type, u8 pkt_type,
		      u16 len),
	     TP_ARGS(esp, if_type, pkt_type, len)
);

TRACE_EVENT(esp_command,
	    TP_PROTO(const struct esp_hosted *esp, u8 code, u16 seq),
	    TP_ARGS(esp, code, seq),
	    TP_STRUCT__entry(__string(dev, dev_name(esp->dev))
			     __field(u8, code)
			     __field(u16, seq)),
	    TP_fast_assign(ESP_ASSIGN_STR(dev);
			   __entry->code = code;
			   __entry->seq = seq;),
	    TP_printk("%s code=%u seq=%u", __get_str(dev), __entry->code,
		      __entry->seq)
);

TRACE_EVENT(esp_command_done,
	    TP_PROTO(const struct esp_hosted *esp, u8 code, u16 seq, u8 status,
		     int err),
	    TP_ARGS(esp, code, seq, status, err),
	    TP_STRUCT__entry(__string(dev, dev_name(esp->dev))
			     __field(u8, code)
			     __field(u16, seq)
			     __field(u8, status)
			     __field(int, err)),
	    TP_fast_assign(ESP_ASSIGN_STR(dev);
			   __entry->code = code;
			   __entry->seq = seq;
			   __entry->status = status;
			   __entry->err = err;),
	    TP_printk("%s code=%u seq=%u status=%u err=%d", __get_str(dev),
		      __entry->code, __entry->seq, __entry->status,
		      __entry->err)
);

TRACE_EVENT(esp_event,
	    TP_PROTO(const struct esp_hosted *esp, u8 code, u8 status, u16 len),
	    TP_ARGS(esp, code, status, len),
	    TP_STRUCT__entry(__string(dev, dev_name(esp->dev))
			     __field(u8, code)
			     __field(u8, status)
			     __field(u16, len)),
	    TP_fast_assign(ESP_ASSIGN_STR(dev);
			   __entry->code = code;
			   __entry->status = status;
			   __entry->len = len;),
	    TP_printk("%s code=%u status=%u len=%u", __get_str(dev),
		      __entry->code, __entry->status, __entry->len)
);

#endif /* ESP_HOSTED_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

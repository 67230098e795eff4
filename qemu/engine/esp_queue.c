/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frame pool and queues
 */
#include "esp_private.h"

void esp_pool_init(struct esp_engine *e)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        e->free_slot[i] = (uint16_t)(POOL_SIZE - 1 - i);
    }
    e->free_count = POOL_SIZE;
}

uint16_t esp_frame_alloc(struct esp_engine *e)
{
    struct frame *f;
    uint16_t slot;

    if (!e->free_count) {
        esp_count(e, CNT_TX_DROP_MEMORY);
        return NO_FRAME;
    }
    slot = e->free_slot[--e->free_count];
    f = &e->frame[slot];
    memset(f, 0, offsetof(struct frame, data));
    return slot;
}

void esp_frame_free(struct esp_engine *e, uint16_t slot)
{
    e->free_slot[e->free_count++] = slot;
}

void esp_queue_push(struct queue *q, uint16_t slot)
{
    q->slot[(q->head + q->count++) % QUEUE_MAX] = slot;
}

void esp_queue_push_front(struct queue *q, uint16_t slot)
{
    q->head = (uint16_t)((q->head + QUEUE_MAX - 1) % QUEUE_MAX);
    q->slot[q->head] = slot;
    q->count++;
}

uint16_t esp_queue_pop(struct queue *q)
{
    uint16_t slot = q->slot[q->head];

    q->head = (q->head + 1) % QUEUE_MAX;
    q->count--;
    return slot;
}

uint16_t esp_queue_peek(const struct queue *q)
{
    return q->count ? q->slot[q->head] : NO_FRAME;
}

uint16_t esp_queue_remove(struct queue *q, unsigned i)
{
    uint16_t slot = q->slot[(q->head + i) % QUEUE_MAX];

    for (q->count--; i < q->count; i++) {
        q->slot[(q->head + i) % QUEUE_MAX] =
            q->slot[(q->head + i + 1) % QUEUE_MAX];
    }
    return slot;
}

void esp_queue_insert(struct esp_engine *e, struct queue *q, uint16_t slot)
{
    unsigned i = q->count++;

    while (i > 0) {
        uint16_t before = q->slot[(q->head + i - 1) % QUEUE_MAX];

        if (e->frame[before].due <= e->frame[slot].due) {
            break;
        }
        q->slot[(q->head + i) % QUEUE_MAX] = before;
        i--;
    }
    q->slot[(q->head + i) % QUEUE_MAX] = slot;
}

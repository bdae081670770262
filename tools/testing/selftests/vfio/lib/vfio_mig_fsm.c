// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arcs and the two rules for combining them that <linux/vfio.h> gives: the shortest path,
 * and no session of the saving group begun or ended on the way.
 */
#include <string.h>

#include "vfio_mig.h"

#define ST(name)	VFIO_DEVICE_STATE_##name

static const struct {
	__u32 needs;		/* flags of VFIO_DEVICE_FEATURE_MIGRATION */
	const char *name;
} states[VFIO_DEVICE_STATE_NR] = {
	[ST(ERROR)]		= { 0, "ERROR" },
	[ST(STOP)]		= { VFIO_MIGRATION_STOP_COPY, "STOP" },
	[ST(RUNNING)]		= { VFIO_MIGRATION_STOP_COPY, "RUNNING" },
	[ST(STOP_COPY)]		= { VFIO_MIGRATION_STOP_COPY, "STOP_COPY" },
	[ST(RESUMING)]		= { VFIO_MIGRATION_STOP_COPY, "RESUMING" },
	[ST(RUNNING_P2P)]	= { VFIO_MIGRATION_P2P, "RUNNING_P2P" },
	[ST(PRE_COPY)]		= { VFIO_MIGRATION_PRE_COPY, "PRE_COPY" },
	[ST(PRE_COPY_P2P)]	= { VFIO_MIGRATION_PRE_COPY | VFIO_MIGRATION_P2P, "PRE_COPY_P2P" },
};

/* Arcs that P2P states replace exist only on devices without them. */
enum { ANY, NO_P2P };

static const struct {
	__u8 from, to, only;
} arcs[] = {
	{ ST(RUNNING),		ST(RUNNING_P2P),	ANY },
	{ ST(RUNNING_P2P),	ST(RUNNING),		ANY },
	{ ST(RUNNING_P2P),	ST(STOP),		ANY },
	{ ST(STOP),		ST(RUNNING_P2P),	ANY },
	{ ST(RUNNING),		ST(STOP),		NO_P2P },
	{ ST(STOP),		ST(RUNNING),		NO_P2P },
	{ ST(STOP),		ST(STOP_COPY),		ANY },
	{ ST(STOP_COPY),	ST(STOP),		ANY },
	{ ST(STOP),		ST(RESUMING),		ANY },
	{ ST(RESUMING),		ST(STOP),		ANY },
	{ ST(RUNNING),		ST(PRE_COPY),		ANY },
	{ ST(PRE_COPY),		ST(RUNNING),		ANY },
	{ ST(PRE_COPY),		ST(PRE_COPY_P2P),	ANY },
	{ ST(PRE_COPY_P2P),	ST(PRE_COPY),		ANY },
	{ ST(RUNNING_P2P),	ST(PRE_COPY_P2P),	ANY },
	{ ST(PRE_COPY_P2P),	ST(RUNNING_P2P),	ANY },
	{ ST(PRE_COPY_P2P),	ST(STOP_COPY),		ANY },
	{ ST(PRE_COPY),		ST(STOP_COPY),		NO_P2P },
};

const char *mig_state_name(__u32 state)
{
	return state < VFIO_DEVICE_STATE_NR ? states[state].name : "(no state)";
}

bool mig_state_offered(__u32 state, __u32 flags)
{
	return state < VFIO_DEVICE_STATE_NR && state != ST(ERROR) &&
	       (states[state].needs & flags) == states[state].needs;
}

bool mig_state_saving(__u32 state)
{
	return state == ST(STOP_COPY) || state == ST(PRE_COPY) || state == ST(PRE_COPY_P2P);
}

static int session(__u32 state)
{
	return mig_state_saving(state) ? 1 : state == ST(RESUMING) ? 2 : 0;
}

bool mig_arc_opens(__u32 from, __u32 to)
{
	return session(to) && session(to) != session(from);
}

bool mig_arc_closes(__u32 from, __u32 to)
{
	return session(from) && session(to) != session(from);
}

/* Breadth first, from the end: dist[] is the number of arcs to go. */
int mig_path(__u32 from, __u32 to, __u32 flags, __u32 path[VFIO_DEVICE_STATE_NR])
{
	bool within = mig_state_saving(from) && mig_state_saving(to);
	__u32 next[VFIO_DEVICE_STATE_NR];
	int dist[VFIO_DEVICE_STATE_NR];
	int n = 0;

	if (!mig_state_offered(from, flags) || !mig_state_offered(to, flags))
		return -1;
	memset(dist, -1, sizeof(dist));
	dist[to] = 0;
	for (int far = 0; far < VFIO_DEVICE_STATE_NR; far++) {
		for (size_t i = 0; i < sizeof(arcs) / sizeof(arcs[0]); i++) {
			__u32 a = arcs[i].from, b = arcs[i].to;

			if (dist[b] != far || dist[a] >= 0 ||
			    !mig_state_offered(a, flags) ||
			    (arcs[i].only == NO_P2P && (flags & VFIO_MIGRATION_P2P)))
				continue;
			/* a is an inner point unless it is where we start */
			if (a != from && mig_state_saving(a) != within)
				continue;
			dist[a] = far + 1;
			next[a] = b;
		}
	}
	if (dist[from] < 0)
		return -1;
	for (__u32 at = from; at != to; at = path[n++])
		path[n] = next[at];
	return n;
}

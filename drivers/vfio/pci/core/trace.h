/* SPDX-License-Identifier: GPL-2.0-only */
/* Trace points of the migration core: Documentation/driver-api/vfio-pci-mig.rst lists them. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_pci_mig

#if !defined(VFIO_PCI_MIG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VFIO_PCI_MIG_TRACE_H

#include <linux/tracepoint.h>
#include <linux/vfio.h>

/* Programs that read the events do not know the enumerators. */
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_ERROR);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RESUMING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING_P2P);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY_P2P);

#define show_mig_state(state)					\
	__print_symbolic(state,					\
		{ VFIO_DEVICE_STATE_ERROR, "ERROR" },		\
		{ VFIO_DEVICE_STATE_STOP, "STOP" },		\
		{ VFIO_DEVICE_STATE_RUNNING, "RUNNING" },	\
		{ VFIO_DEVICE_STATE_STOP_COPY, "STOP_COPY" },	\
		{ VFIO_DEVICE_STATE_RESUMING, "RESUMING" },	\
		{ VFIO_DEVICE_STATE_RUNNING_P2P, "RUNNING_P2P" },	\
		{ VFIO_DEVICE_STATE_PRE_COPY, "PRE_COPY" },	\
		{ VFIO_DEVICE_STATE_PRE_COPY_P2P, "PRE_COPY_P2P" })

TRACE_EVENT(vfio_pci_mig_arc,
	TP_PROTO(struct device *dev, int from, int to, int state, int ret, u64 ns),
	TP_ARGS(dev, from, to, state, ret, ns),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(int, from)
		__field(int, to)
		__field(int, state)
		__field(int, ret)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->from = from;
		__entry->to = to;
		__entry->state = state;
		__entry->ret = ret;
		__entry->ns = ns;
	),
	TP_printk("%s: %s -> %s ret=%d state=%s ns=%llu", __get_str(dev),
		  show_mig_state(__entry->from), show_mig_state(__entry->to), __entry->ret,
		  show_mig_state(__entry->state), __entry->ns)
);

TRACE_EVENT(vfio_pci_mig_call,
	TP_PROTO(struct device *dev, const char *op, long ret, u64 ns),
	TP_ARGS(dev, op, ret, ns),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__string(op, op)
		__field(long, ret)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(dev);
		__assign_str(op);
		__entry->ret = ret;
		__entry->ns = ns;
	),
	TP_printk("%s: %s ret=%ld ns=%llu", __get_str(dev), __get_str(op), __entry->ret,
		  __entry->ns)
);

TRACE_EVENT(vfio_pci_mig_reset,
	TP_PROTO(struct device *dev, bool done),
	TP_ARGS(dev, done),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(bool, done)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->done = done;
	),
	TP_printk("%s: %s", __get_str(dev), __entry->done ? "done" : "prepare")
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

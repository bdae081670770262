// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of the migration core (drivers/vfio/pci/core) for spin: arcs, resets, data files, the
 * gate, close and unbind, in every interleaving. ./check runs it and lists the faults that -D puts
 * in.
 *
 * Names are those of the kernel code without their prefixes. A step (atomic, d_step) contains at
 * most one critical section of reset_lock (but two in open and close, where the order does not
 * matter) and at most one effect on the hardware. A step may also take a mutex first, release locks
 * last, and use what only that mutex protects: other threads cannot tell.
 *
 * Nothing is counted, so loops need no bound and the search is complete. Any thread may stop after
 * each round of its loop, so a thread that is stuck leads to an invalid end state, whatever the
 * others do.
 *
 * P1 to P8 are the properties, each in the comment above its assertion.
 *
 * Left out: PRE_COPY (its arcs call the same callbacks), the contents of streams, user copies,
 * signals, time, power states, PF resets, reset_blocked, outside resets that fail, hot resets by
 * way of another device. There is one thread each for SET_STATE, for GET_STATE and the user's
 * resets, for accesses to the BAR, and for the data file. With one reader an rwsem is a mutex.
 */
mtype = { RUNNING, RUNNING_P2P, STOP, STOP_COPY, RESUMING, ERROR }

/* Locks. Order: io, lock, gate, memory_lock; the user's resets try device_lock inside these. */
bool io;		/* a data file's io mutex */
bool lock;		/* the state mutex */
bool gate;		/* the gate, held for reading: an access of the user is under way */
bool memory_lock;	/* vfio-pci's */
bool device_lock;	/* the PCI core's, around resets and unbind */

/* Protected by lock; file also by reset_lock */
mtype state = RUNNING;
bool mdev = true, broken, reset_unseen, file;
/* Protected by gate */
bool gate_open = true;
/* Protected by reset_lock. dead is the flag of the session's file; those of ended ones are set. */
bool resetting, reset_pending, entered, spoiled, dead;

/* The data file that the user has open: none, one of a session that has ended, the session's */
#define NO_FD	0
#define ENDED	1
#define CURRENT	2
byte fd;
bool fd_load;		/* opened for loading */

bool dma = true;	/* the function runs; in RUNNING_P2P only because the user made it run */
bool mapped;		/* the user has a PTE of the BAR */

/* VFIO and the driver core */
bool registered = true;	/* unbind has not begun */
bool bound = true;	/* unbind has not ended */
bool in_use = true;	/* from open_device() to the end of close_device() */
bool opened = true;	/* the user has the device open */
byte users;		/* threads that keep it open */

/* For properties only */
bool lost;		/* an outside reset undid the state, and SET_STATE has not failed since */
bool repaired;		/* a reset began after ERROR was entered */
bool over;		/* the hardware was reset during the session */

#define when(condition, step)	if :: condition -> step :: else fi

#define stopped(s)	(s == STOP || s == STOP_COPY || s == RESUMING)
#define runs(s)		(s == RUNNING || s == RUNNING_P2P)

/* vfio_mig_get_next_state() */
#define next_state(from, to) \
	(from == RUNNING || (from == STOP && runs(to)) -> RUNNING_P2P : \
	(from == RUNNING_P2P && to == RUNNING -> RUNNING : (from == STOP -> to : STOP)))

inline reset_prepare(by_user)
{
	d_step {
		resetting = true;
#ifndef NO_SPOILED
		spoiled = entered;
#endif
		repaired = true;
		lost = lost || (!by_user && mdev && state != RUNNING && state != ERROR)
	}
}

/* The hardware's part of a reset leaves a blank function that runs. */
inline hardware_reset() { d_step { dma = true; over = file } }

inline reset_done()
{
	d_step {
		resetting = false;
		reset_pending = reset_pending || !spoiled;
#ifndef NO_DEAD
		dead = file
#endif
	}
}

inline file_kill() { file = false; dead = false; over = false; fd = (fd == CURRENT -> ENDED : fd) }

inline fsm_error() { broken = false; state = ERROR; file_kill(); repaired = false; lost = false }

inline fsm_complete_reset()
{
	if
	:: reset_pending && mdev ->
		/* P1: only a reset that began after ERROR was entered leaves it. */
		assert(state != ERROR || repaired);
		file_kill();
#ifndef NO_UNSEEN
		reset_unseen = reset_unseen || (state != RUNNING && state != ERROR);
#endif
		state = RUNNING
	:: else
	fi;
	reset_pending = false
}

inline gate_set(open)
{
	atomic {
		if
		:: gate_open == open
		:: gate_open != open && !gate -> gate_open = open; mapped = mapped && open
		fi
	}
}

inline fsm_lock() { atomic { !lock -> lock = true; fsm_complete_reset() } }
inline fsm_unlock() { atomic { when(mdev, gate_set(runs(state))); lock = false } }

inline fsm_enter() { d_step { ret = resetting || reset_pending; entered = !ret } }

inline fsm_outcome(next)
{
	d_step {
		entered = false;
		broken = broken || spoiled;
		ret = ret || broken;
		if
		:: broken -> fsm_error()
		/* P2: no arc and no load succeeds after a reset undid the state that it began in. */
		:: !ret -> assert(!lost); state = next
		:: else
		fi
	}
}

/* A callback of the back end: done; failed and as before; failed and unknown (design rule 1) */
inline callback(dma_after)
{
	!memory_lock;	/* fsm_wake() */
	/* P3: no callback for a device that is closed, let alone unbound. */
	assert(mdev && in_use && bound);
	if
	:: dma = dma_after
	:: dma = dma_after; ret = true; broken = true
	:: ret = true
	:: ret = true; broken = true
	fi
}

/* check(), save() and load() */
inline callback_stopped()
{
	callback(dma);
	/* P4: the function is stopped then, unless a reset began meanwhile. */
	assert(!dma || spoiled)
}

inline arc(next)
{
	atomic {
		if
		:: next == RUNNING_P2P && state == RUNNING -> callback(false)
		:: next == RUNNING_P2P && state == STOP -> callback_stopped()
		:: next == RUNNING -> callback(true)
		:: next == STOP && state == RUNNING_P2P ->
#ifndef OLD_R4
			callback(false)	/* pauses again: until now the gate was open */
#endif
		:: next == STOP && state == STOP_COPY -> file_kill()
		:: next == STOP && state == RESUMING -> callback_stopped(); when(!ret, file_kill())
		:: stopped(next) && state == STOP ->
			file = true;
			callback_stopped();
			when(ret, file_kill())
		fi
	}
}

inline walk_arc(next)
{
	fsm_enter();
	if
	:: ret -> lost = false
	:: else ->
#ifdef LATE_GATE
		arc(next);
		when(stopped(next), gate_set(false));
#else
		when(stopped(next), gate_set(false));
		arc(next);
#endif
		fsm_outcome(next)
	fi
}

inline set_state()
{
	atomic {
		opened && !lock;
		if
		:: target = RUNNING
		:: target = RUNNING_P2P
		:: target = STOP
		:: target = STOP_COPY
		:: target = RESUMING
		fi;
		fsm_lock();
		ret = state == ERROR || reset_unseen;
		reset_unseen = false;
		lost = lost && !ret
	};
	do
	:: !ret && state != target -> next = next_state(state, target); walk_arc(next)
	:: else -> break
	od;
	atomic {
		if
		/* The user takes the new data file, or closes it and keeps the old one. */
		:: !ret && file && !io -> fd = CURRENT; fd_load = (target == RESUMING)
		:: true
		fi;
		ret = false;
		target = RUNNING;
		fsm_unlock()
	}
}

/* vfio_pci_core_enable() tries to reset the device, then comes fsm_open(). */
inline open_device()
{
	atomic {
		!in_use && registered && !device_lock ->
		in_use = true;
		device_lock = true;
		reset_prepare(true)
	};
	hardware_reset();
	atomic { reset_done(); device_lock = false };
	atomic {
		!lock -> lock = true;
		mdev = true;
		reset_pending = true;
		spoiled = false;
		fsm_complete_reset();
		reset_unseen = false
	};
	atomic { fsm_unlock(); opened = true }
}

/* fsm_close(), then vfio_pci_core_close_device() tries to reset the device. */
inline close_device()
{
	atomic { opened && users == 0 -> opened = false; mapped = false };
	atomic {
		fsm_lock();
#ifndef NO_KILL
		file_kill();
#endif
		mdev = false;
		lost = false;
		lock = false
	};
	atomic { dma = dma || !device_lock; in_use = false }
}

active proctype vmm()
{
	mtype target = RUNNING, next = RUNNING;
	bool ret;

	do
	:: set_state()
	:: close_device()
	:: open_device()
	:: !in_use -> break
	od
}

/* GET_STATE, the result of which the monitor judges, and the user's resets */
active proctype user_reset()
{
	bool happened, failed;

	do
	:: atomic { opened && !lock -> fsm_lock(); fsm_unlock() }
#ifdef OLD_R6
	:: atomic { opened -> users++ };
#else
	:: atomic { opened && !lock -> users++; fsm_lock() };	/* user_reset_begin() */
#endif
		atomic { !memory_lock -> memory_lock = true; mapped = false };
		if
		:: atomic { !device_lock -> device_lock = true; happened = true; reset_prepare(true) };
			if
			:: hardware_reset()
			:: failed = true
			fi;
			atomic { reset_done(); device_lock = false; memory_lock = false }
#ifndef WAIT_DEVICE
		:: atomic { device_lock -> memory_lock = false }	/* EAGAIN */
#endif
		fi;
		atomic {
#ifdef OLD_R6
			fsm_lock();
#else
			fsm_complete_reset();	/* user_reset_end() */
#endif
			if
			:: happened && failed ->
				reset_unseen = false;
				fsm_error();
				/* A reset that began after the one that failed is as good. */
				repaired = resetting
			:: happened && !failed ->
				reset_unseen = false;
				lost = false;
				/* P5: a reset by the user that succeeded leaves RUNNING. */
				assert(state == RUNNING)
			:: else
			fi;
			happened = false;
			failed = false;
			users--;
			fsm_unlock()
		}
	:: break
	od
}

/* Resets by sysfs or error recovery: without the state mutex, at any time */
active proctype outside_reset()
{
	do
	:: atomic { !device_lock && bound -> device_lock = true; reset_prepare(false) };
		hardware_reset();
		atomic { reset_done(); device_lock = false }
	:: break
	od
}

/* An access to the BAR. A hostile user makes a paused function go on, or does not. */
inline access() { if :: dma = true :: true fi }

active proctype user_access()
{
	do
	:: atomic {	/* gate_enter(); an access that is refused changes nothing */
			opened && !gate && (gate_open || reset_pending) ->
			gate = true;
#ifndef PASS_GATE
			gate_open = true;
#endif
			users++
		};
		atomic {
			!memory_lock;
			if
			:: access()		/* read() or write() */
			:: mapped = true	/* a fault */
			fi;
			gate = false;
			users--
		}
	:: atomic { mapped -> access() }
	:: break
	od
}

/* read() and write() of a data file, which may outlive session, open and binding */
active proctype data_file()
{
	bool ret;

	do
	/* P6: after a reset nothing is read or written, even before the reset is complete. */
	:: atomic { fd == CURRENT && !dead -> assert(!over || resetting) }
	/* A write() that loads. The session may end before it has the state mutex. */
	:: atomic { fd == CURRENT && !dead && fd_load -> io = true };
		fsm_lock();
		if
		:: fd == CURRENT ->
			fsm_enter();
			if
			:: !ret -> atomic { callback_stopped() }; fsm_outcome(RESUMING)
			:: else
			fi
		:: else
		fi;
		atomic { ret = false; io = false; fsm_unlock() }
	:: break
	od
}

/* The driver core holds the device's lock until VFIO has seen the device closed. */
active proctype unbind()
{
	if
	:: atomic { !device_lock -> device_lock = true; registered = false };
		atomic { !in_use -> bound = false; device_lock = false }
	:: true
	fi
}

/* What GET_STATE reports, when no reset is in progress or pending */
#define reported(s)	(!lock && mdev && !resetting && !reset_pending && s)

/* Takes a step only in a state that violates P7 or P8. */
active proctype monitor()
{
end:	if
	/* P7: a device that is reported as stopped does no DMA, and its user is kept out. */
	:: atomic { reported(stopped(state)) && (dma || mapped || gate) -> assert(false) }
	/* P8: a device that is reported as RUNNING runs. */
	:: atomic { reported(state == RUNNING) && !dma -> assert(false) }
	fi
}

/* heal.pml - witnesses and healing: a device without a register, whose signed HEADs (length and hash of
 * its log) and sealed log tails NW members of the household keep. The owner sets the device back to any log that was ever on
 * its disk, as often as he likes (BACK), or runs a second device from such a log beside it (CLONE). One right can be used once.
 *
 * A node is a record that was ever written, with the log before it. A contact is a live session, so the member's answer is
 * fresh; which members can be reached is the owner's choice.
 *
 *   boot      until it has heard R members the device signs no HEAD and uses no stateful right; what it commits (its clock, say)
 *             it may lose. The newest HEAD that it hears, if its own signature is on it, says where it must be: it is there or
 *             further, or heals from a tail that hashes to that HEAD, or its stateful rights wait. What its own log has beside
 *             that, no member was told, so no effect of it is out. Two HEADs that it hears of which neither is in the other's
 *             log are evidence of a clone: it stops, and the members that have them know.
 *   ready     it gives its HEAD and tail to members; one that has a HEAD of this device that is not in this log is the same
 *             evidence. An effect (a key, an XFER) is let out only when W members have kept a HEAD and tail that include it.
 *
 * So a set-back is harmless if W + R > NW or 2 W > NW, and a clone if 2 W > NW. Contact since boot alone (W = 0) is not enough.
 * F members may be set back too, together with the device: then W + R > NW + F, or 2 W > NW + F.
 *
 *   spin -a -DBACK heal.pml; gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c; ./pan -E -m1000000
 *
 * Asserted: the right is used once; a device that was neither set back nor cloned never stops, nor does one that was set back and
 * hears all members (R = NW); one that heard all members waits only if none of them has the tail of the newest HEAD.
 * Mutants, each MUST fail: numbers that are too small; M_TAIL (a tail that does not hash to the HEAD), M_FORGET (a member forgets),
 * M_OLDER (a member takes an older HEAD for a newer one), M_FOREIGN (a HEAD that another signed), M_SPEAK (HEADs before R were heard), CLONE
 * with M_BLIND (two HEADs are no evidence). */
#ifndef NW
#define NW 2
#endif
#ifndef W
#define W 1
#endif
#ifndef R
#define R 2
#endif
#ifndef F
#define F 0
#endif
#ifndef NS
#define NS 5                    /* records, with the first */
#endif
#ifdef CLONE
#define ND 2
#else
#define ND 1
#endif

byte par[NS]; bit use[NS];      /* the record uses the right */
byte n = 1;
byte used;                      /* the record whose effect is out */
bit back; bit cloned;

#define OFF 0
#define BOOT 1
#define READY 2
#define STOPPED 3
byte is[ND]; byte cur[ND];
byte heard[ND]; byte acks[ND];  /* sets of members */
byte best[ND]; bit tail[ND];    /* newest HEAD heard; a member has its tail */

byte head[NW]; bit kept[NW];    /* what a member has: HEAD, and whether its tail too */
bit evidence[NW];
byte faults = F;
#ifdef M_FORGET
bit forgets = 1;
#endif

#if NW == 2
#define COUNT(s) ((s & 1) + ((s >> 1) & 1))
#define ALL 3
#else
#define COUNT(s) ((s & 1) + ((s >> 1) & 1) + ((s >> 2) & 1))
#define ALL 7
#endif

byte k; bit yes;
inline within(a, b) { k = b; do :: k != a && k != 0 -> k = par[k] :: else -> break od; yes = (k == a); k = 0 }  /* a is in the log b */
inline uses(a) { k = a; do :: !use[k] && k != 0 -> k = par[k] :: else -> break od }                            /* k: where log a does */

inline forget(i) { heard[i] = 0; acks[i] = 0; tail[i] = 0; best[i] = 0 }
inline stop(i, m) {
  is[i] = STOPPED; evidence[m] = 1; forget(i);
#if R >= NW && F == 0
  assert(cloned)                /* no lock-out by a backup */
#else
  assert(cloned || back)
#endif
}
inline boot(i, x) { is[i] = BOOT; cur[i] = x; forget(i) }
inline append(i, u) { par[n] = cur[i]; use[n] = u; cur[i] = n; acks[i] = 0; n++ }

inline hear(i, m) {             /* while it boots */
  heard[i] = heard[i] | (1 << m);
  within(head[m], best[i]);
  if
  :: yes -> if :: head[m] == best[i] && kept[m] -> tail[i] = 1 :: else -> skip fi
  :: else ->
       within(best[i], head[m]);
       if :: yes -> best[i] = head[m]; tail[i] = kept[m] :: else -> stop(i, m) fi
  fi; yes = 0
#ifdef M_OLDER
  ; if :: is[i] == BOOT -> head[m] = cur[i]; kept[m] = 1 :: else -> skip fi
#endif
}
inline give(i, m, t) {          /* when it is ready; t: the tail arrives too */
  within(head[m], cur[i]);
#ifdef M_BLIND
  yes = 1;
#endif
  if
  :: !yes -> stop(i, m)
  :: else ->
       kept[m] = t || (head[m] == cur[i] && kept[m]); head[m] = cur[i];
       if :: kept[m] -> acks[i] = acks[i] | (1 << m) :: else -> skip fi
  fi; yes = 0
}
inline decide(i) {              /* R members were heard */
  within(best[i], cur[i]);
  if
  :: yes -> is[i] = READY; forget(i)
  :: !yes && tail[i] ->
#ifdef M_TAIL
       skip;                    /* whatever is its own, say what it has already */
#else
       cur[i] = best[i];
#endif
       is[i] = READY; forget(i)
  :: else ->                    /* its stateful rights wait */
       k = 0;
       do
       :: k < NW -> assert(cloned || heard[i] != ALL || head[k] != best[i] || !kept[k]); k++
       :: else -> break
       od; k = 0
  fi; yes = 0
}

proctype Device(byte i) {
  byte x;
  do
#ifdef BACK
  :: atomic { is[i] != OFF                                        -> select(x : 0 .. n-1);
       d_step { if :: x != cur[i] -> back = 1 :: else -> skip fi; boot(i, x); x = 0 } }
#else
  :: d_step { is[i] != OFF                                        -> boot(i, cur[i]) }
#endif
#ifdef CLONE
  :: atomic { is[i] == OFF                                        -> select(x : 0 .. n-1); d_step { cloned = 1; boot(i, x); x = 0 } }
#endif
  :: d_step { is[i] == BOOT && n < NS                             -> append(i, 0) }
#ifdef M_SPEAK
  :: atomic { is[i] == BOOT                                       -> select(x : 0 .. NW-1); d_step { give(i, x, 1); x = 0 } }
#endif
  :: atomic { is[i] == BOOT || is[i] == READY                     -> select(x : 0 .. NW-1);
       if
       :: d_step { evidence[x] -> is[i] = STOPPED; forget(i) }
       :: d_step { !evidence[x] && is[i] == BOOT -> hear(i, x) }
       :: d_step { !evidence[x] && is[i] == READY -> give(i, x, 0) }
       :: d_step { !evidence[x] && is[i] == READY -> give(i, x, 1) }
       fi; x = 0 }
#ifdef M_FOREIGN
  :: atomic { is[i] == BOOT                                       -> stop(i, 0) }
#endif
  :: d_step { is[i] == BOOT && COUNT(heard[i]) >= R               -> decide(i) }
  :: atomic { is[i] == READY && n < NS                            -> uses(cur[i]); x = k; k = 0;
       if :: x == 0 -> append(i, 1) :: append(i, 0) fi; x = 0 }
  :: d_step { is[i] == READY && COUNT(acks[i]) >= W               -> uses(cur[i]); x = k; k = 0;
       if :: x == 0 -> skip :: else -> assert(used == 0 || used == x); used = x fi; x = 0 }
  od
}

proctype World() {
  byte m;
  do
#if F > 0
  :: atomic { faults > 0                                          -> select(m : 0 .. NW-1); faults--; head[m] = 0; kept[m] = 1; m = 0 }
#endif
#ifdef M_FORGET
  :: atomic { forgets                                             -> select(m : 0 .. NW-1); forgets = 0; head[m] = 0; kept[m] = 1; m = 0 }
#endif
  :: atomic { m == 255                                            -> skip }
  od
}

init {
  byte i;
  atomic {
    kept[0] = 1; kept[1] = 1;
#if NW == 3
    kept[2] = 1;
#endif
    is[0] = BOOT;
    do :: i < ND -> run Device(i); i++ :: else -> break od;
    run World()
  }
}

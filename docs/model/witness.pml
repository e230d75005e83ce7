/* witness.pml - a log without an anchor, and a peer of the household that keeps its HEAD (docs/spec/witness.md).
 * The owner of the device may take an image of its folder at any time, set it back to it up to NB times, go on, and lose any answer of the peer.
 * A batch is known by its place and by the life of the device that wrote it (each setting back begins one): so (place, life) is the hash of the log there.
 * The peer keeps one HEAD (kc, kw), gives it back with every answer, and replaces it only when the device has found it in its log. It serves (gives
 * something that counts) only a request whose HEAD is the kept one then.
 * safety  : whoever is served has a log that contains the HEAD of every request that was served before
 * honest  : a device that was never set back is never said to be; and after an answer that arrived it is served
 * Run: spin -a [-DMUTANT] [-DHONEST] witness.pml; gcc -O2 -DSAFETY -o pan pan.c; ./pan
 * Mutants : M_NEWEST replaces the kept HEAD by every higher one; M_SERVE serves whatever is kept; M_COUNT compares counters only */
#ifndef NP
#define NP 7
#endif
#ifndef NB
#define NB 2
#endif
byte w[NP+1]; byte c; byte found; bit set;              /* the device: life of each batch, length, what was found, said to be set back */
byte iw[NP+1]; byte ic; byte ifound; bit iset; bit have; /* its image */
byte life = 1; byte back;
byte kc; byte kw; bit twins;                             /* the peer */
byte served[NP+1];                                       /* ghost: life of each HEAD that was served */
bit fresh;                                               /* ghost: the last answer arrived */
byte i; bit ok; byte oc; byte ow;
inline batch() { c++; w[c] = life }
active proctype P() {
  c = 1; w[1] = life;
  do
  :: c < NP -> atomic { batch() }                        /* it goes on: plays, learns the time */
  :: !have -> atomic { i = 0; do :: i <= NP -> iw[i] = w[i]; i++ :: else -> break od; i = 0; ic = c; ifound = found; iset = set; have = 1 }
#ifndef HONEST
  :: have && back < NB -> atomic { back++; life++; fresh = 0; i = 0;
       do :: i <= NP -> w[i] = (i <= ic -> iw[i] : 0); i++ :: else -> break od; i = 0; c = ic; found = ifound; set = iset }
#endif
  :: have -> have = 0                                    /* a newer image may be taken */
  :: !twins && c + 1 < NP -> atomic {                    /* a request, and its answer or none */
       oc = c; ow = w[c]; ok = 0;
       if
       :: kc == 0 -> kc = oc; kw = ow
       :: kc != 0 && oc == kc && ow != kw -> twins = 1
       :: kc != 0 && oc > kc ->
#ifdef M_NEWEST
            kc = oc; kw = ow
#else
            if :: found >= kc -> kc = oc; kw = ow :: else -> skip fi
#endif
       :: else -> skip
       fi;
#ifdef M_SERVE
       ok = !twins;
#else
       ok = (!twins && kc == oc && kw == ow);
#endif
       if :: ok -> if :: set -> ok = 0 :: else -> skip fi :: else -> skip fi;     /* who knows that it was set back asks for nothing that counts */
#ifdef HONEST
       assert(ok || !fresh);
#endif
       fresh = 0;
       if
       :: twins -> skip
       :: !twins && ok ->
            i = 1;
            do :: i <= NP -> assert(served[i] == 0 || (i <= c && w[i] == served[i])); i++ :: else -> break od;
            i = 0; served[oc] = ow
       :: else -> skip
       fi;
       if
       :: skip                                            /* the answer is lost */
       :: !twins && !set ->                               /* the device looks at what it gets back */
            fresh = 1;
            if
            :: kc <= found -> skip
#ifdef M_COUNT
            :: kc > found && kc <= c -> found = kc; batch()
            :: kc > found && kc > c -> set = 1
#else
            :: kc > found && kc <= c && w[kc] == kw -> found = kc; batch()
            :: kc > found && !(kc <= c && w[kc] == kw) -> set = 1
#endif
            fi;
#ifdef HONEST
            assert(!set);
#endif
            skip
       fi;
       oc = 0; ow = 0; ok = 0 }
  :: break
  od
}

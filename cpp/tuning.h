// Numbers that were measured, not derived: sizes from which another method is faster, and estimates of time. The numbers for
// threads are in runtime/threads.cc, runtime/pool.cc and runtime/openmp.cc instead. Figures in comments are for AVX-512 on
// Zen 4, and are factors of speed unless they say otherwise.
#pragma once

#include <cstddef>

namespace nonlin {

// ---------------------------------------------------------------- stores past the caches

// Results of this many bytes or more are stored past the caches: they do not fit, and a regular store reads the line that it
// overwrites. 1.1 to 1.4 from 32 MB on, even if the result is read next; 0.8 to 0.9 at 16 MB.
constexpr size_t kStreamBytes = size_t{1} << 25;
// Rows with fewer classes are stored past the caches only from a buffer, where it pays from a quarter of kStreamBytes on.
// With short rows in memory, stores to lines that two rows share cost more (0.75 at 1024 classes, 1.4 at 4096; 0.97 to 1.4
// at 32000).
constexpr size_t kMinStreamedClasses = 2048, kStreamBytesFromBuffers = kStreamBytes / 4;

// ---------------------------------------------------------------- elementwise

constexpr size_t kStridedBlock = 512;  // elements packed at a time if an array is not contiguous: they stay in L1
constexpr size_t kChunkElements = 64;  // chunk sizes are multiples of it: no two threads write to one cache line

// ---------------------------------------------------------------- rows

// Contiguous rows of up to this many vectors go side by side: the work done once per row then costs more than the
// transposition. An operation may have its own number.
constexpr size_t kNarrow = 10;
// A few contiguous rows go in place one by one, where each takes the time of so many vectors beside its own: one row of 10
// to 160 classes takes 0.3 to 0.8 of the time. In the place of short rows, up to two: 0.7 to 1.0.
constexpr size_t kStepsOfRow = 3, kFewShortRows = 2;
// A row of up to this many classes keeps its exponentials: with the row and its result they fit in L2. A longer row is huge:
// it is cut into chunks, and its exponentials are computed again.
constexpr size_t kMaxKept = size_t{1} << 16;
// Rows of up to so many bytes keep them apart from the result. Between products of threads on two dies, whose cores hold its
// lines, softmax and cross_entropy_with_grad take 0.6 to 0.8 of the time, in place 0.8 to 0.9; else the same. With 16 KB,
// up to 1.12.
constexpr size_t kKeptApartBytes = size_t{1} << 13;
// Strided rows of up to this many classes go side by side: their buffers stay in L3.
constexpr size_t kMaxSideBySide = size_t{1} << 16;
// Strided rows of up to this many classes are prefetched: more would compete for the same sets of L1.
constexpr size_t kFetchedClasses = 16;
// Groups side by side that are worked on together, and their bytes. With prefetching they stay in L1 (kNearBytes), beside
// the rows that follow; without it, neighbouring rows make pieces that are worth their cache misses, in L2 (kFarBytes). Half
// of kNearBytes is 1.1 for logsumexp out of cache, and 0.96 for softmax.
// Twice as many groups: 0.92 to 1.05.
constexpr size_t kMaxGroups = 16, kNearBytes = size_t{1} << 14, kFarBytes = size_t{1} << 18;
// Bytes of the short rows worked on together: they and their exponentials stay in L1.
constexpr size_t kShortRowsBytes = 14336;
// Vectors of a row's sums have this many bytes, see layouts-inl.h. Rows of up to kDenseLanes such vectors are dense where
// there are no gaps between them; kDensePadding numbers may be read beyond their last.
constexpr size_t kSumBytes = 64, kDenseLanes = 4, kDensePadding = 64;
// Where a logarithm is taken, dense rows have up to this many classes, or, with vectors of kSumBytes, more than these have
// lanes. Rows of 5 to 16 classes take as long side by side; longer ones, with narrower vectors, 0.7 to 0.95 of the time.
constexpr size_t kDenseFew = 4;
// Rows whose target entries are gathered at a time, on a thread's stack, which may be small. With 64, 0.85 to 0.95.
constexpr size_t kGatheredRows = 128;

// Bytes of the rows that are changed at a time, for `where` and `scale`: they stay in L1 beside their results. Their number
// is a multiple of kChangedRows where that many fit.
constexpr size_t kChangedBytes = size_t{1} << 13, kChangedRows = 16;

constexpr size_t kBlockSteps = 256;  // vectors in a block of a row, which stays in L1: its maximum is found before its sum
constexpr size_t kNearSteps = 128;   // the hardware prefetches data that is read within this many vectors
// Rows side by side of up to this many classes find the entry of a class faster by looking at every step.
constexpr size_t kMaxLookedThrough = 16;
// The most chunks of a huge row, and how many of their sums are computed at once, on the stack.
constexpr size_t kMaxChunks = 64, kChunksAtOnce = 16;
constexpr size_t kChunkClasses = 1024;  // chunks have a multiple of it: whole vectors of any width

// Entries that make a row where a loss has no axis.
constexpr size_t kEntriesOfRow = 4096;

// ---------------------------------------------------------------- cycles (of 1/3 ns), for the division among threads

// Costs in the tables are cycles per float32 element, in the caches, with AVX-512. They grow in proportion with fewer lanes;
// doubles take 2.5 times as long.
constexpr double kCostLanes = 16, kDoubleCost = 2.5;
constexpr double kBackwardCost = 1.4, kFromResultCost = 0.4;  // relative to forward; the latter without an exponential
// Cycles to look up a 16-bit result, and the cost of a formula from which that is faster.
constexpr double kLookUpCycles = 0.7, kMinTableCost = 0.8;
// Of a loss's cost: what a gradient takes beyond it, how many times as much both take, and the check of probabilities.
constexpr double kGradientCost = 0.5, kWithGradCost = 1.5, kCheckCost = 0.3, kOwnEntryCost = 0.001;
constexpr double kRowCycles = 12;      // per row, beside its entries
constexpr double kHugeCycles = 1;      // per entry of a huge row
constexpr double kChangeCycles = 0.5;  // per entry that is changed
constexpr double kTargetCycles = 3;    // to check a target
// From here on a call releases the GIL, about 1 us of work: it takes 40 ns, and with a busy thread beside it the GIL comes
// back 5 ms later.
constexpr size_t kManyEntries = 4096, kManyTargets = 4096;

}  // namespace nonlin

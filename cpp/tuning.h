// The numbers that were measured and not derived: sizes from which another way is faster, and estimates of time. They stand
// here together; those of threads and of the pool stand in runtime/threads.cc, runtime/pool.cc and runtime/openmp.cc.
// Figures are for AVX-512 on Zen 4, as a factor of the speed unless they say otherwise.
#pragma once

#include <cstddef>

namespace nonlin {

// ---------------------------------------------------------------- stores past the caches

// Bytes of a result from which it is stored past the caches: they hold no more, and a usual store reads the line that it
// overwrites. 1.1 to 1.4 from 32 MB on, also where the result is read next; 0.8 to 0.9 at 16 MB.
constexpr size_t kStreamBytes = size_t{1} << 25;
// Rows with fewer classes are stored past the caches only from a buffer, where it wins from a quarter of that on: with short
// rows in memory the stores to lines that two rows share cost more (0.75 at 1024 classes, 1.4 at 4096; 0.97 to 1.4 at
// 32000).
constexpr size_t kMinStreamedClasses = 2048, kStreamBytesFromBuffers = kStreamBytes / 4;

// ---------------------------------------------------------------- elementwise

constexpr size_t kStridedBlock = 512;  // elements packed at a time where a stride is not contiguous: they stay in L1
constexpr size_t kChunkElements = 64;  // a chunk's size is a multiple: keeps two threads off one cache line

// ---------------------------------------------------------------- rows

// Vectors of classes up to which contiguous rows go side by side: as long as what is done once in a row costs more than
// bringing the rows into that order. An operation may have its own number.
constexpr size_t kNarrow = 10;
// Classes up to which a row's exponentials are kept: with the row and its result they fit L2. Longer rows are huge: cut into
// chunks, and their exponentials are computed again.
constexpr size_t kMaxKept = size_t{1} << 16;
// Classes up to which strided rows go side by side: their buffers stay in L3.
constexpr size_t kMaxSideBySide = size_t{1} << 16;
// Classes up to which strided rows can be fetched ahead: more fall to the same places of L1.
constexpr size_t kFetchedClasses = 16;
// Groups side by side that are worked on together. What is fetched ahead stays in L1, beside the next rows; else
// neighbouring rows make pieces that are worth their cache misses, in L2. Half of kNearBytes is 1.1 for logsumexp out of
// cache, and 0.96 for softmax.
constexpr size_t kMaxGroups = 16, kNearBytes = size_t{1} << 14, kFarBytes = size_t{1} << 18;
// Of short rows and their exponentials, in L1.
constexpr size_t kShortRowsBytes = 14336;
// Rows whose own entries are gathered at a time, on the stack of a thread, which may be small.
constexpr size_t kGatheredRows = 64;

constexpr size_t kBlockSteps = 256;  // of a row in L1: the maximum of a block is found before its sum
constexpr size_t kNearSteps = 128;   // what is read so soon, the processor fetches without being told
// Classes of rows side by side up to which it is faster to look at every step for the entry of a class.
constexpr size_t kMaxLookedThrough = 16;
// Of a huge row: chunks at the most, and so many sums at once, which are on the stack.
constexpr size_t kMaxChunks = 64, kChunksAtOnce = 16;

// ---------------------------------------------------------------- cycles (of 1/3 ns), for the division among threads

// The tables' costs are per float32 element in the caches with AVX-512. Other instruction sets take about as many times as
// long as they have fewer lanes, doubles 2.5 times.
constexpr double kCostLanes = 16, kDoubleCost = 2.5;
constexpr double kBackwardCost = 1.4, kFromResultCost = 0.4;  // of forward's; of a gradient that needs no exponential
// Looking up 16-bit results takes so long, and beats the formula from this cost on.
constexpr double kLookUpCycles = 0.7, kMinTableCost = 0.8;
constexpr double kRowCycles = 12;    // of a row, however few its classes
constexpr double kHugeCycles = 1;    // of an entry of a huge row
constexpr double kTargetCycles = 3;  // of the check of a target
constexpr size_t kManyTargets = 4096,
                 kManyEntries = 500;  // from here on a call lets go of the GIL; the latter is NumPy's limit

}  // namespace nonlin

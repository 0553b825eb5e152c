// Convolution and collect of sm_80 and newer: every warp takes units of pixels from a counter, whose inputs
// it copies to shared memory ahead of its products. A unit's result does not depend on which warp computes
// it.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/grid_barrier.cuh"
#include "cuda/staged_copies.cuh"

namespace smsr::cuda {

// Packed weights of chunks, in shared or in global memory.
template <bool kShared>
class ChunkWeights {
 public:
  explicit SMSR_DEVICE ChunkWeights(const Vector* weights)
      : from_(weights + thread_index() % kWarpSize), at_(kShared ? shared_address(from_) : 0u) {}
  // chunk: StagedPiece::weights. Of output channels 16 m to 16 m + 15.
  SMSR_DEVICE Vector load(int chunk, int step, int m) const {
    const int index = chunk + step * StagedTile::kStepVectors + m * kWarpSize;
    return kShared ? load_shared(at_ + static_cast<uint32>(16 * index)) : load_weights(from_ + index);
  }

 private:
  const Vector* from_;
  uint32 at_;
};

// A convolution of inactive pixels uses dense channels only, whatever else an active neighbour has in the
// same 16 bytes: the inputs of a step that lie behind them become zeros. left: dense channels from the step's
// first on.
template <int kPairs>
SMSR_DEVICE void trim(int left, StepInputs<kPairs>* inputs) {
  const int first = thread_index() % kWarpSize % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int keep = left - first - 8 * r;
    const uint32 mask = keep > 1 ? 0xffffffffu : keep > 0 ? 0x0000ffffu : 0u;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      (*inputs)[pair][r] &= mask;
      (*inputs)[pair][2 + r] &= mask;
    }
  }
}

// Where the lane's pixels of eight rows are in the output, from its first channels on.
template <class Record, class Sums>
struct OutputRows {
  uint32* at[2];
  SMSR_DEVICE OutputRows(void* out, int channels, const Record& record, const Sums& sums, int n) {
    Half* const first = static_cast<Half*>(out) + sums.channel(0);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32 pixel = pixel_of_row(record, sums.pixel(n) + i) >> 1;
      at[i] = reinterpret_cast<uint32*>(first + pixel * static_cast<uint32>(channels));
    }
  }
};

template <class Record, int kTiles, int kPairs>
SMSR_DEVICE void finish_unit(const ConvolutionOutputs& to, const StagedInputs& in, const StagedUnit& unit,
                             bool active, const Record& record, const StagedSums<kTiles, kPairs>& sums) {
  ChannelSums of_channels[kTiles];
  const int end = active ? in.channels : to.dense, written = round_up(end, kPiece);
  uint32 masks[kTiles];  // past the end: zeros
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
    const int left = end - sums.channel(m);
    masks[m] = left > 1 ? 0xffffffffu : left > 0 ? 0x0000ffffu : 0u;
  }
#pragma unroll
  for (int n = 0; n < 2 * kPairs; ++n) {
    const OutputRows<Record, StagedSums<kTiles, kPairs>> rows(to.out, in.channels, record, sums, n);
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      uint32 halves[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        halves[i] = sums.positive_halves(m, n, i) & masks[m];
        if (sums.pixel(n) + i < unit.rows && sums.channel(m) < written)
          store_word(rows.at[i] + 8 * m, halves[i]);
      }
      of_channels[m].add(halves[0], halves[1]);  // rows past the end of the unit are zeros
    }
  }
  float* const unit_sums = to.unit_sums + static_cast<long long>(unit.index) * in.channels;
  if (thread_index() % kWarpSize >= 8) return;
#pragma unroll
  for (int m = 0; m < kTiles; ++m)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int channel = 16 * m + ChannelSums::channel(i);
      if (channel < end) unit_sums[channel] = of_channels[m].sum(i);
    }
}

// A chunk of a convolution: kSteps times 16 input channels of nine taps, added to the first 16 * kTiles
// output channels. Inputs are loaded one step, weights one product ahead. at: of the weights of the first
// tap; left: dense channels of the chunk, used where kTrim.
template <int kTiles, int kSteps, bool kTrim, class Weights, class Record>
SMSR_DEVICE void multiply_set(const Weights& weights, int at, int tap_vectors, uint32 chunk,
                              const Record& record, int left, StagedSums<kTiles, Record::kPairs>* sums) {
  constexpr int kPairs = Record::kPairs, kProducts = kSteps * kTiles;
  [[maybe_unused]] constexpr int kTogether = kTiles == 4 ? 3 : 1;  // taps in straight-line code
  StepInputs<kPairs> inputs[2];
  TapRows<Record> rows(chunk, record.taps);
  rows.load(0, &inputs[0]);
  Vector ahead = weights.load(at, 0, 0);
#pragma unroll kTogether
  for (int tap = 0; tap < kTaps; ++tap) {
    // Behind the last tap its own inputs and weights again, which are not used.
    const int next = tap + 1 < kTaps ? tap + 1 : tap, next_at = tap + 1 < kTaps ? at + tap_vectors : at;
    const TapRows<Record> next_rows(chunk, record.taps + next * Record::kRows);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int other = kSteps == 1 ? 1 : (step + 1) % 2;
      if (step + 1 < kSteps)
        rows.load(step + 1, &inputs[other]);
      else
        next_rows.load(0, &inputs[other]);
      if (kTrim) trim<kPairs>(left - 16 * step, &inputs[step]);
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        const int product = step * kTiles + m + 1;
        const Vector now = ahead;
        ahead = product < kProducts ? weights.load(at, product / kTiles, product % kTiles)
                                    : weights.load(next_at, 0, 0);
        sums->multiply(m, now, inputs[step]);
      }
    }
    if (kSteps == 1) copy_inputs<kPairs>(inputs[1], &inputs[0]);
    rows = next_rows;
    at = next_at;
  }
}

template <int kTiles, int kSteps, bool kTrim, class Weights, class Record>
SMSR_DEVICE void convolve_units(const StagedInputs& in, const ConvolutionOutputs& to, const Weights& weights,
                                bool active, int halves, const UnitRange& range, char* ring, char* records) {
  const int all_halves = divide_up(in.channels, StagedTile::kDepth), dense = dense_of(in.dense, 0);
  SetCopies<Record> copies(in, active, halves, range, ring, records);
  while (copies.unit().rows > 0) {
    const StagedUnit unit = copies.unit();
    const Record& record = copies.record();
    StagedSums<kTiles, Record::kPairs> sums;
    for (int half = 0; half < halves; ++half) {
      const uint32 chunk = copies.next_chunk();
      multiply_set<kTiles, kSteps, kTrim>(weights, half * StagedTile::kVectors,
                                          all_halves * StagedTile::kVectors, chunk, record,
                                          dense - half * StagedTile::kDepth, &sums);
    }
    finish_unit(to, in, unit, active, record, sums);
  }
  wait_for_copies<0>();
}

// Shared memory of a warp's copies.
template <class Record>
constexpr int kRingBytes =
    SetCopies<Record>::kBytes > StagedCopies<Record>::kBytes + 512 ? SetCopies<Record>::kBytes
                                                                   : StagedCopies<Record>::kBytes + 512;

// Bias and scale of an image in a warp's shared memory, of channels 2 i and 2 i + 1: two of each.
class ImageScale {
 public:
  static constexpr int kBytes = kStagedChannels / 2 * 16;
  SMSR_DEVICE explicit ImageScale(char* shared) : pairs_(reinterpret_cast<Vector*>(shared)) {}
  SMSR_DEVICE void load(const CollectOutputs& to, int channels, int image) {
    if (image == image_) return;
    image_ = image;
    sync_warp();
    const int lane = thread_index() % kWarpSize, channel = 2 * lane;
    Vector v = {{0, 0, 0, 0}};
    if (channel < channels) {
      const Half* const bias = static_cast<const Half*>(to.bias) + channel;
      const float* const scale = to.scale + image * channels + channel;
      v = {{float_bits(to_float(bias[0])), float_bits(to_float(bias[1])), float_bits(scale[0]),
            float_bits(scale[1])}};
    }
    pairs_[lane] = v;
    sync_warp();
  }
  // Before the residual is added.
  template <int kPairs>
  SMSR_DEVICE void apply(StagedSums<4, kPairs>* sums) const {
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const Vector v = pairs_[sums->channel(m) / 2];
      sums->scale(m, {bits_float(v.word[0]), bits_float(v.word[1])},
                  {bits_float(v.word[2]), bits_float(v.word[3])});
    }
  }

 private:
  Vector* pairs_;
  int image_ = -1;
};

template <class Weights, class Record>
SMSR_DEVICE void collect_units(const StagedInputs& in, const CollectOutputs& to, const Weights& weights,
                               const StagedChunks& chunks, int pixels, const UnitRange& range, char* ring,
                               char* records) {
  static_assert(StagedCopies<Record>::kBytes + ImageScale::kBytes <= kRingBytes<Record>,
                "ImageScale's place");
  ImageScale scale(ring + StagedCopies<Record>::kBytes);
  using Copies = StagedCopies<Record>;
  constexpr int kPairs = Record::kPairs;
  Copies copies(chunks, 2 * in.channels, range, ring, records);
  while (copies.unit().rows > 0) {
    const StagedUnit unit = copies.unit();
    const Record& record = copies.record();
    scale.load(to, in.channels, static_cast<int>(pixel_of_row(record, 0) >> 1) / pixels);
    StagedSums<4, kPairs> sums;
    const StagedPiece* piece = chunks.pieces[0];
#pragma unroll 1
    for (int left = chunks.count - 2; left > 0; --left) {
      const uint32 chunk = copies.next_chunk();
      StepInputs<kPairs> inputs[2];
      Copies::rows(chunk, 0, &inputs[0]);
      Copies::rows(chunk, 1, &inputs[1]);
      const int at = piece->weights;
      piece += kChunkPieces;
      Vector ahead = weights.load(at, 0, 0);
#pragma unroll
      for (int product = 0; product < 8; ++product) {
        const Vector now = ahead;
        if (product < 7) ahead = weights.load(at, (product + 1) / 4, (product + 1) % 4);
        sums.multiply(product % 4, now, inputs[product / 4]);
      }
    }
    scale.apply(&sums);
    const Vector identity = sums.identity();  // the residual: each channel is added to the same one
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint32 chunk = copies.next_chunk();
#pragma unroll
      for (int step = 0; step < StagedTile::kSteps; ++step) {
        StepInputs<kPairs> inputs;
        Copies::rows(chunk, step, &inputs);
        sums.multiply(StagedTile::kSteps * half + step, identity, inputs);
      }
    }
#pragma unroll
    for (int n = 0; n < 2 * kPairs; ++n) {
      const OutputRows<Record, StagedSums<4, kPairs>> rows(to.out, in.channels, record, sums, n);
#pragma unroll
      for (int m = 0; m < 4; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (sums.pixel(n) + i < unit.rows && 16 * m < in.channels)
            store_word(rows.at[i] + 8 * m, sums.halves(m, n, i));
    }
  }
  wait_for_copies<0>();
}

// How a kernel is compiled: its units, and whether weights are in shared memory.
template <class Record_, bool kResident_>
struct StagedKind {
  using Record = Record_;
  static constexpr bool kResident = kResident_;
  static constexpr int kRing = kRingBytes<Record>;
  static constexpr int kListing = RecordWriter<Record>::kSharedBytes;
  static constexpr int kWarpBytes = kRing + UnitQueue<Record>::kBytes;
  static_assert(kListing <= kWarpBytes, "the same shared memory");
};

constexpr int kStagedWarps = 8, kStagedThreads = kStagedWarps * kWarpSize;

template <int kValue>
struct Number {
  static constexpr int value = kValue;
};

template <class Kind>
SMSR_DEVICE void run_units(const StagedInputs& in, const ConvolutionOutputs& to,
                           const ChunkWeights<Kind::kResident>& weights, const StagedChunks*, bool active,
                           int, const UnitRange& range, char* ring, char* records) {
  using Record = typename Kind::Record;
  using Weights = ChunkWeights<Kind::kResident>;
  const int channels = active ? in.channels : dense_of(in.dense, 0);
  const int halves = channels > StagedTile::kDepth ? 2 : 1;
  const auto run = [&](auto tiles, auto steps, auto trim) {
    convolve_units<tiles.value, steps.value, trim.value != 0, Weights, Record>(in, to, weights, active,
                                                                               halves, range, ring, records);
  };
  // Tiles and steps, and whether inputs are trimmed: whole pieces need not be, for what lies behind them is
  // copied as zeros.
  if (active) return run(Number<4>(), Number<2>(), Number<0>());
  if (to.dense > 32) return run(Number<4>(), Number<2>(), Number<1>());
  const bool whole = channels % kPiece == 0, two = to.dense > 16;
  if (two)
    return whole ? run(Number<2>(), Number<2>(), Number<0>()) : run(Number<2>(), Number<2>(), Number<1>());
  if (channels <= 16) return run(Number<1>(), Number<1>(), Number<1>());
  return whole ? run(Number<1>(), Number<2>(), Number<0>()) : run(Number<1>(), Number<2>(), Number<1>());
}
template <class Kind>
SMSR_DEVICE void run_units(const StagedInputs& in, const CollectOutputs& to,
                           const ChunkWeights<Kind::kResident>& weights, const StagedChunks* chunks,
                           bool active, int pixels, const UnitRange& range, char* ring, char* records) {
  collect_units<ChunkWeights<Kind::kResident>, typename Kind::Record>(in, to, weights, chunks[active], pixels,
                                                                      range, ring, records);
}

// Active units first; warps that have no more of them go on with the smaller products of inactive ones.
template <class Kind, class Outputs>
SMSR_DEVICE void run_all_units(const StagedInputs& in, const Outputs& to, const UnitPlan& plan, int batch,
                               int pixels, uint32* counters, const Vector* packed, const StagedChunks* chunks,
                               char* memory) {
  const int warp = thread_index() / kWarpSize, warps = kStagedWarps * blocks_x();
  const ChunkWeights<Kind::kResident> weights(packed);
  char* const ring = memory + warp * Kind::kRing;
  char* const records = memory + kStagedWarps * Kind::kRing + warp * UnitQueue<typename Kind::Record>::kBytes;
  // The first units are spread over blocks before warps, so that small images use all multiprocessors.
  const int active = plan.active_units[batch], first = warp * blocks_x() + block_x();
  if (first < active) {
    const UnitRange range = {plan.units, plan.records, counters, first, warps, active};
    run_units<Kind>(in, to, weights, chunks, true, pixels, range, ring, records);
  }
  if (to.inactive_channels(in.channels) == 0) return;
  const uint32 taken = thread_index() % kWarpSize == 0 ? atomic_add(counters + 1, 1u) : 0u;
  const int end = active + plan.inactive_units[batch], begin = active + static_cast<int>(shuffle(taken, 0));
  if (begin >= end) return;
  const UnitRange range = {plan.units, plan.records, counters + 1, begin, active, end};
  run_units<Kind>(in, to, weights, chunks, false, pixels, range, ring, records);
}

SMSR_DEVICE void write_chunks(const StagedInputs&, const ConvolutionOutputs&, StagedChunks*) {}
SMSR_DEVICE void write_chunks(const StagedInputs& in, const CollectOutputs&, StagedChunks* chunks) {
  const int piece = thread_index() % kChunkPieces, active = thread_index() / kChunkPieces;
  if (active < 2) ChunkWriter(in, active != 0, piece, chunks + active).write();
}

// A convolution or the collect, by all blocks. Begins once the grid's phase before has ended, and ends one.
// weights_bytes: room for the weights in shared memory, 0: they stay in global memory.
template <class Kind, class Outputs>
SMSR_DEVICE void run_product(const StagedInputs& in, const Outputs& to, const UnitPlan& plan, int batch,
                             int pixels, uint32* counters, int weights_bytes, GridBarrier* grid) {
  const Vector* weights = in.weights;
  char* const shared = static_cast<char*>(shared_memory());
  if (Kind::kResident) {
    Vector* const copied = reinterpret_cast<Vector*>(shared);
    const int vectors = in.groups * divide_up(in.channels, StagedTile::kDepth) * StagedTile::kVectors;
    for (int i = thread_index(); i < vectors; i += kStagedThreads) copy_to_shared(copied + i, weights + i);
    weights = copied;
  }
  StagedChunks* const chunks = reinterpret_cast<StagedChunks*>(shared + weights_bytes);
  write_chunks(in, to, chunks);
  grid->wait();
  copies_arrive();
  sync_block();
  run_all_units<Kind>(in, to, plan, batch, pixels, counters, weights, chunks,
                      shared + weights_bytes + kChunksBytes);
  grid->arrive();
}

}  // namespace smsr::cuda

// Convolution and collect as products whose left rows are gathered: kRows pixels of a list, for each the
// pieces of its neighbours (convolution) or of its layers' outputs (collect). One kernel launch does active
// pixels (all channels) and inactive ones (dense channels only). Warps take units of pixels from a counter
// and never wait for each other; a unit's result does not depend on who computes it.
#pragma once

#include "types.cuh"

namespace smsr {
namespace cuda {

// Sources are [N, H, W, channels], `stride` numbers apart: one for all taps, or one of each layer. Of
// inactive pixels they hold the first `dense` channels, zeros up to the next multiple of 8, and anything
// behind.
struct GemmInputs {
  const void* sources;
  long long stride;
  DenseChannels dense;
  const Vector* weights;  // [slice, group, step of a group, kDepth, kColumns], see pack.cuh
  int groups;             // taps, or layers
  int channels, width;
};

// out [N, H, W, channels] = max(sum, 0), where inactive for the first `dense` channels.
struct ConvolutionOutputs {
  void* out;
  float* unit_sums;  // [units, channels] of what was written
  int dense;
};

// out [N, H, W, channels] = (sum + bias) * scale + residual
struct CollectOutputs {
  void* out;
  const void* residual;  // as out
  const void* bias;      // [channels]
  const float* scale;    // [N, channels]
};

struct Lists {
  const Entry* entries;
  const int *active_count, *active_units, *inactive_units;
  uint32* counters;   // [slices]
  int batch, pixels;  // pixels of an image
};

// Some pixels of one image's list: those of one class, at most kRows.
struct Unit {
  bool active;
  int image, index;  // index: over all units of kUnitRows
  int first, step;   // of their entries
  int rows;
};

// The last image that starts at or before `unit`, and has units at all.
SMSR_DEVICE int find_image(const int* starts, int batch, int unit) {
  int low = 0, high = batch - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (starts[middle] <= unit)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// Part `part` of unit `index`, kRows rows long.
template <int kRows>
SMSR_DEVICE Unit find_unit(const Lists& lists, int index, int part) {
  Unit unit;
  const int all_active = lists.active_units[lists.batch];
  unit.active = index < all_active;
  unit.index = index;
  const int* starts = unit.active ? lists.active_units : lists.inactive_units;
  const int within = unit.active ? index : index - all_active;
  unit.image = find_image(starts, lists.batch, within);
  const int count = lists.active_count[unit.image];
  const int ahead = (within - starts[unit.image]) * kUnitRows + part * kRows;
  const int left = (unit.active ? count : lists.pixels - count) - ahead;
  unit.rows = left < kRows ? left : kRows;  // may be 0 or less
  unit.step = unit.active ? 1 : -1;
  unit.first = unit.image * lists.pixels + (unit.active ? ahead : lists.pixels - 1 - ahead);
  return unit;
}

// What a lane knows of the pixels it loads.
template <class Tile>
struct Rows {
  uint32 offsets[Tile::kInputs];  // pixel * channels
  uint32 bits[Tile::kInputs];     // Entry::bits; rows that do not exist: none

  SMSR_DEVICE Rows(const Tile& tile, const Lists& lists, const Unit& unit, int channels) {
#pragma unroll
    for (int j = 0; j < Tile::kInputs; ++j) {
      const int row = tile.input_row(j);
      Entry entry = {0, 0};
      if (row < unit.rows) entry = lists.entries[unit.first + unit.step * row];
      offsets[j] = static_cast<uint32>(entry.pixel * channels);
      bits[j] = entry.bits;
    }
  }
};

// Walks over the steps of the sum: group by group, each kDepth input channels further; only those that hold
// anything.
template <class Tile, bool kCollect>
class Steps {
 public:
  SMSR_DEVICE Steps(const GemmInputs& in, bool active) : in_(in), active_(active), group_(0), step_(0) {
    enter_group();
  }
  SMSR_DEVICE bool done() const { return group_ == in_.groups; }
  SMSR_DEVICE void next() {
    if (++step_ < end_) return;
    step_ = 0;
    ++group_;
    enter_group();
  }
  // Offset into a slice's packed weights.
  SMSR_DEVICE int weights() const {
    constexpr int kVectors =
        Tile::kDepth * Tile::kColumns * static_cast<int>(sizeof(typename Tile::Type)) / 16;
    return (group_ * divide_up(in_.channels, Tile::kDepth) + step_) * kVectors;
  }

  // Of each of the lane's rows the 16 bytes it multiplies in this step; zeros past the last step.
  SMSR_DEVICE void load(const Tile& tile, const Rows<Tile>& rows, Vector (&to)[Tile::kInputs]) const {
    using T = typename Tile::Type;
    // A layer past the last has no dense channels.
    const int channel = first_channel(tile), dense = done() ? 0 : dense_channels();
    const int tap = kCollect ? kCentre : group_;
    // The bit of Entry::bits that must be set for these channels to exist; the last is never set.
    int bit = 31;
    if (channel < round_up(dense, kPiece))
      bit = tap;
    else if (!done() && active_ && channel < in_.channels)
      bit = tap + kTaps;
    const int neighbour = kCollect ? 0 : (tap / 3 - 1) * in_.width + tap % 3 - 1;
    const T* source = static_cast<const T*>(in_.sources) + (kCollect ? group_ * in_.stride : 0);
    const uint32 ahead = static_cast<uint32>(neighbour * in_.channels + channel);
#pragma unroll
    for (int j = 0; j < Tile::kInputs; ++j)
      to[j] = load_or_zero(source + (rows.offsets[j] + ahead), (rows.bits[j] >> bit & 1u) != 0);
  }

  // Of inactive pixels the convolution reads dense channels only, whatever an active neighbour has behind
  // them: how many numbers of what load() brought in this step. Below 8 and above 0 only where trims().
  SMSR_DEVICE int kept(const Tile& tile) const { return dense_channels() - first_channel(tile); }
  SMSR_DEVICE bool trims() const { return !kCollect && !active_ && dense_of(in_.dense, 0) % kPiece != 0; }

 private:
  SMSR_DEVICE int first_channel(const Tile& tile) const {
    return step_ * Tile::kDepth + tile.input_channel();
  }
  SMSR_DEVICE int dense_channels() const { return dense_of(in_.dense, kCollect ? group_ : 0); }
  SMSR_DEVICE void enter_group() {
    for (; group_ < in_.groups; ++group_) {
      end_ = divide_up(active_ ? in_.channels : round_up(dense_channels(), kPiece), Tile::kDepth);
      if (end_ > 0) return;
    }
  }

  const GemmInputs& in_;
  const bool active_;
  int group_, step_, end_ = 0;
};

// Skipping columns is worth code of its own where a tile can: kSkip divides the tile's columns. A
// convolution's inactive units always take it, so that the code for all columns knows that it has an active
// one.
template <class Tile>
SMSR_DEVICE constexpr bool has_skipping_code() {
  return Tile::kSkip < Tile::kColumns;
}

template <class Tile, bool kCollect, bool kAll>
SMSR_DEVICE void sum_steps(const GemmInputs& in, const Rows<Tile>& rows, bool active, const Vector* weights,
                           int columns, Tile* tile) {
  constexpr bool kActive = kAll && !kCollect && has_skipping_code<Tile>();
  Steps<Tile, kCollect> steps(in, kActive || active);
  Vector ahead[Tile::kInputs];
  steps.load(*tile, rows, ahead);
#pragma unroll 2
  while (!steps.done()) {
    Vector now[Tile::kInputs];
#pragma unroll
    for (int j = 0; j < Tile::kInputs; ++j) now[j] = ahead[j];
    const Vector* at = weights + steps.weights();
    const int kept = steps.kept(*tile);
    steps.next();
    steps.load(*tile, rows, ahead);
    if (!kActive && steps.trims()) {  // behind the loads, so that they do not wait for those of this step
#pragma unroll
      for (int j = 0; j < Tile::kInputs; ++j) keep_leading(&now[j], kept, typename Tile::Type());
    }
    tile->template multiply<kAll>(now, at, columns);
  }
}

struct Rectifier {
  SMSR_DEVICE float operator()(float sum) const { return sum < 0.0f ? 0.0f : sum; }  // NaN stays
};
struct MakeRectifier {
  SMSR_DEVICE Rectifier operator()(int) const { return Rectifier(); }
};

// Writes the rows, and the sums over them of every channel.
template <class Tile>
SMSR_DEVICE void finish(const ConvolutionOutputs& to, const GemmInputs& in, const Unit& unit,
                        const Rows<Tile>& rows, int slice, Tile* tile) {
  using T = typename Tile::Type;
  static_assert(Tile::kRows == kUnitRows, "unit_sums has a row for each unit");
  tile->map(MakeRectifier());
  const int end = unit.active ? in.channels : to.dense;
#pragma unroll
  for (int group = 0; group < Tile::kGroups; ++group) {
    const int channel = slice * Tile::kColumns + tile->output_channel(group);
    float sums[kPiece] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int j = 0; j < Tile::kOutputs; ++j) {
      Piece<T> piece = tile->piece(j, group);
      if (!unit.active) {
        constexpr int kVectors = static_cast<int>(sizeof(piece) / sizeof(Vector));
#pragma unroll
        for (int i = 0; i < kVectors; ++i)
          keep_leading(&piece.part[i], end - channel - i * kPiece / kVectors, T());
      }
      const uint32 at = tile->of_output(rows.offsets, j) + static_cast<uint32>(channel);
      if (tile->output_row(j) < unit.rows && channel < end) store_piece(piece, static_cast<T*>(to.out) + at);
      float values[kPiece];
      piece.unpack(values);
#pragma unroll
      for (int c = 0; c < kPiece; ++c) sums[c] += values[c];  // rows that do not exist are zeros
    }
#pragma unroll
    for (int mask = Tile::kSameChannels; mask < Tile::kEndChannels; mask *= 2)
#pragma unroll
      for (int c = 0; c < kPiece; ++c) sums[c] += shuffle_xor(sums[c], mask);
    if ((thread_index() & (Tile::kEndChannels - Tile::kSameChannels)) == 0 && channel < end) {
      Piece<float> piece;
      piece.pack(sums);
      store_piece(piece, to.unit_sums + static_cast<long long>(unit.index) * in.channels + channel);
    }
  }
}

struct Scaler {
  float bias, scale;
  SMSR_DEVICE float operator()(float sum) const { return (sum + bias) * scale; }
};
template <class T>
struct MakeScaler {
  const T* bias;
  const float* scale;
  int channels;  // past them: anything, nobody reads it
  SMSR_DEVICE Scaler operator()(int channel) const {
    Scaler scaler = {0.0f, 0.0f};
    if (channel < channels) {
      scaler.bias = to_float(bias[channel]);
      scaler.scale = scale[channel];
    }
    return scaler;
  }
};

template <class Tile>
SMSR_DEVICE void finish(const CollectOutputs& to, const GemmInputs& in, const Unit& unit,
                        const Rows<Tile>& rows, int slice, Tile* tile) {
  using T = typename Tile::Type;
  const int column = slice * Tile::kColumns;
  MakeScaler<T> scaler;
  scaler.bias = static_cast<const T*>(to.bias) + column;
  scaler.scale = to.scale + unit.image * in.channels + column;
  scaler.channels = in.channels - column;
  tile->map(scaler);
#pragma unroll
  for (int group = 0; group < Tile::kGroups; ++group) {
    const int channel = column + tile->output_channel(group);
#pragma unroll
    for (int j = 0; j < Tile::kOutputs; ++j) {
      Piece<T> piece = tile->piece(j, group);
      const uint32 at = tile->of_output(rows.offsets, j) + static_cast<uint32>(channel);
      if (tile->output_row(j) >= unit.rows || channel >= in.channels) continue;
      float values[kPiece], residual[kPiece];
      piece.unpack(values);
      load_piece(static_cast<const T*>(to.residual) + at).unpack(residual);
#pragma unroll
      for (int c = 0; c < kPiece; ++c) values[c] += residual[c];
      piece.pack(values);
      store_piece(piece, static_cast<T*>(to.out) + at);
    }
  }
}

// One block fills a processor: convolutions take all of its registers with 8 warps, the smaller tile of
// collect with 12.
template <class Tile>
struct GemmThreads {
  static constexpr int value = Tile::kRows < kUnitRows ? 384 : 256;
};

template <class Outputs>
struct IsCollect {
  static constexpr bool value = false;
};
template <>
struct IsCollect<CollectOutputs> {
  static constexpr bool value = true;
};
// Units with anything to do: inactive pixels of a layer without dense channels have nothing in this slice.
SMSR_DEVICE int inactive_columns(const ConvolutionOutputs& to, int) { return to.dense; }
SMSR_DEVICE int inactive_columns(const CollectOutputs&, int channels) { return channels; }

template <class Tile, class Outputs, bool kAll>
SMSR_DEVICE void run_unit(const GemmInputs& in, const Outputs& to, const Lists& lists, const Unit& unit,
                          const Vector* weights, int slice, int columns) {
  Tile tile;
  const Rows<Tile> rows(tile, lists, unit, in.channels);
  sum_steps<Tile, IsCollect<Outputs>::value, kAll>(in, rows, unit.active, weights, columns, &tile);
  finish(to, in, unit, rows, slice, &tile);
}

// Blocks (any number, slice). kResident: a slice's weights stay in shared memory, `weights_bytes` of them.
template <class Tile, class Outputs, bool kResident>
SMSR_KERNEL(GemmThreads<Tile>::value, 1)
void gather_gemm(GemmInputs in, Outputs to, Lists lists, int weights_bytes) {
  constexpr int kParts = kUnitRows / Tile::kRows, kThreads = GemmThreads<Tile>::value;
  const int slice = block_y(), lane = thread_index() % kWarpSize, warp = thread_index() / kWarpSize;
  const int columns = smaller(Tile::kColumns, in.channels - slice * Tile::kColumns);
  const int inactive = smaller(columns, inactive_columns(to, in.channels) - slice * Tile::kColumns);
  const int units = lists.active_units[lists.batch] + (inactive > 0 ? lists.inactive_units[lists.batch] : 0);
  const int end = units * kParts, first = blocks_x() * (kThreads / kWarpSize);
  if (block_x() >= end) return;  // none of its warps has work: they come last
  const Vector* weights = in.weights + static_cast<long long>(slice) * (weights_bytes / 16);
  if (kResident) {
    Vector* resident = static_cast<Vector*>(shared_memory());
    for (int i = thread_index(); i < weights_bytes / 16; i += kThreads)
      copy_to_shared(resident + i, weights + i);
    copies_arrive();
    sync_block();
    weights = resident;
  }
  // The first units are spread over blocks before warps, so that small images use all processors.
  int index = warp * blocks_x() + block_x();
  while (index < end) {
    uint32 next = 0;
    if (lane == 0) next = atomic_add(lists.counters + slice, 1u);
    const Unit unit = find_unit<Tile::kRows>(lists, index / kParts, index % kParts);
    if (unit.rows > 0) {
      const int wanted = unit.active ? columns : inactive;
      const bool may_all = unit.active || IsCollect<Outputs>::value;
      const bool all = may_all && wanted + Tile::kSkip > Tile::kColumns;
      if (!has_skipping_code<Tile>() || all)
        run_unit<Tile, Outputs, true>(in, to, lists, unit, weights, slice, wanted);
      else
        run_unit<Tile, Outputs, !has_skipping_code<Tile>()>(in, to, lists, unit, weights, slice, wanted);
    }
    index = first + static_cast<int>(shuffle(next, 0));
  }
}

}  // namespace cuda
}  // namespace smsr

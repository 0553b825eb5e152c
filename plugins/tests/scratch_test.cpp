// Scratch memory: its size holds what a call writes, and no two tasks have the same slot at the same time.
#include "scratch.h"

#include <thread>

#include "check.h"
#include "dense_problem.h"
#include "isa/dispatch.h"

namespace smsr::testing {
namespace {

constexpr int64_t kInputs = 16, kOutputs = 48;
constexpr int64_t kTiles = kTilesPerBlock;

// A block of tiles at the image's border. Three rows cut all of them off: outputs without a place go to the
// dump. Of five rows the last tile's window, which lies at the memory's end, is copied to its end.
template <class Weight>
void check_tile_scratch(const std::string& where, TileKernel<float, float, Weight> kernel,
                        const Weight* weights, int64_t height, int64_t output_rows, int64_t output_width) {
  const int64_t width = kTileSize * kTiles - 1;
  const Floats features(static_cast<size_t>(height * width * kInputs), 1.0f);
  const Floats zeros(kInputs, 0.0f), bias(kOutputs, 0.0f);
  Floats output(static_cast<size_t>(output_rows * output_width * kOutputs));
  const auto size = static_cast<size_t>(winograd_scratch_size(kInputs, kOutputs));
  Floats scratch(size + kCanaries, 7.0f);
  kernel({{height, width, kInputs, {features.data(), width * kInputs, height}, zeros.data()},
          kOutputs,
          weights,
          bias.data(),
          true,
          kOutputs,
          false,
          {nullptr, 0, 1},
          {output.data(), output_width * kOutputs, output_rows}},
         {nullptr, 0, kTiles}, scratch.data());
  expect(std::all_of(scratch.begin() + static_cast<std::ptrdiff_t>(size), scratch.end(),
                     [](float value) { return value == 7.0f; }),
         where + ": wrote behind its scratch memory");
}

template <class Weight>
void check_tiles(const std::string& where, const DenseTileKernels<Weight>& kernels, const Weight* weights) {
  const int64_t width = kTileSize * kTiles - 1;
  for (const int64_t height : {3, 5}) {
    check_tile_scratch(where + " tiles", kernels.tiles, weights, height, height, width);
    check_tile_scratch(where + " pooled tiles", kernels.pooled_tiles, weights, height, pooled_size(height),
                       pooled_size(width));
  }
}

void check_sizes() {
  std::mt19937 random(1);
  const Floats weight = weights(&random, 9, kInputs, kOutputs);
  const Floats single = prepared(weight, 9, kInputs, kOutputs);
  const Kernels* variants[kMaxVariants];
  const size_t count = supported_variants(variants);
  for (size_t i = 0; i < count; ++i) {
    check_tiles(variants[i]->name, variants[i]->dense.winograd, single.data());
    const ReducedKernels* const reduced = variants[i]->reduced;
    if (reduced == nullptr) continue;
    const Halves halves = prepared_reduced(*reduced, weight, kInputs, kOutputs);
    check_tiles(std::string(variants[i]->name) + " reduced", reduced->winograd, halves.data());
  }
}

struct Slots {
  std::vector<char> memory;
  ScratchSlots slots;
  explicit Slots(int64_t floats) : slots{} {
    Cursor counted(nullptr, kCacheLine);
    take_scratch(floats, &counted);
    memory.resize(counted.bytes_unaligned());
    Cursor cursor(memory.data(), kCacheLine);
    slots = take_scratch(floats, &cursor);
    slots.reset();
  }
  int64_t taken() const {
    return std::count_if(slots.taken, slots.taken + scratch_slots(),
                         [](const auto& one) { return one.load(); });
  }
};

void check_a_slot_is_held() {
  const Slots all(5);
  expect(all.slots.size == 16, "a slot of 5 floats is one cache line");
  for (int round = 0; round < 2; ++round) {
    const Scratch one(all.slots);
    expect(all.taken() == 1 && one.data() == all.slots.memory, "a lone task keeps to the first slot");
    if (scratch_slots() < 2) continue;
    const Scratch other(all.slots);
    expect(all.taken() == 2 && other.data() == one.data() + all.slots.size,
           "a second task has the next slot");
  }
  expect(all.taken() == 0, "slots are given back");
}

// More threads than slots, each with a mark of its own that must still be there after the others ran.
void check_slots_between_threads() {
  const Slots all(5);
  std::atomic<int> clashes{0};
  std::vector<std::thread> threads;
  for (int64_t id = 0; id < scratch_slots() + 3; ++id)
    threads.emplace_back([&, id] {
      for (int round = 0; round < 500; ++round) {
        const Scratch mine(all.slots);
        std::fill_n(mine.data(), 5, static_cast<float>(id));
        std::this_thread::yield();
        const auto foreign = [&](float value) { return value != static_cast<float>(id); };
        if (std::any_of(mine.data(), mine.data() + 5, foreign)) ++clashes;
      }
    });
  for (std::thread& thread : threads) thread.join();
  expect(clashes == 0, "no slot is held by two threads");
}

}  // namespace

void check_scratch() {
  check_sizes();
  check_a_slot_is_held();
  check_slots_between_threads();
}

}  // namespace smsr::testing

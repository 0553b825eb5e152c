// Which variant runs: the best one this CPU supports, or the one the environment variable SMSR_CPU names.
#pragma once

#include <cstddef>

#include "kernels.h"

namespace smsr {

constexpr size_t kMaxVariants = 8;
constexpr const char* kVariantVariable = "SMSR_CPU";

// Fills `list` with the variants built in and supported by this CPU, best first; returns how many.
size_t supported_variants(const Kernels* list[kMaxVariants]);

// The supported variant of that name, or null.
const Kernels* find_variant(const char* name);

// The variant to use now; null where SMSR_CPU names none that is supported (never a silent fallback).
const Kernels* selected_variant();

// Winograd's convolutions (winograd.h) are used unless SMSR_WINOGRAD is 0. kBad: neither 0 nor 1.
constexpr const char* kWinogradVariable = "SMSR_WINOGRAD";
enum class WinogradChoice { kOff, kOn, kBad };
WinogradChoice winograd_choice();

// Names of supported_variants(), comma separated. Static storage.
const char* supported_variant_names();

}  // namespace smsr

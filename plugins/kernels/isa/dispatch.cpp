#include "isa/dispatch.h"

#include <cstdlib>
#include <cstring>

#include "isa/x86_features.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace smsr {

#define SMSR_VARIANT(name, supported) extern const Kernels kernels_##name;
#include "isa/variants.inc"
#undef SMSR_VARIANT

size_t supported_variants(const Kernels* list[kMaxVariants]) {
  const Kernels* rising[kMaxVariants] = {};
  size_t count = 0;
#define SMSR_VARIANT(name, supported) \
  if (supported) rising[count++] = &kernels_##name;
#include "isa/variants.inc"
#undef SMSR_VARIANT
  for (size_t i = 0; i < count; ++i) list[i] = rising[count - 1 - i];
  return count;
}

const Kernels* find_variant(const char* name) {
  const Kernels* list[kMaxVariants] = {};
  const size_t count = supported_variants(list);
  for (size_t i = 0; i < count; ++i)
    if (std::strcmp(list[i]->name, name) == 0) return list[i];
  return nullptr;
}

const Kernels* selected_variant() {
  const char* forced = std::getenv(kVariantVariable);
  if (forced != nullptr && forced[0] != '\0') return find_variant(forced);
  const Kernels* list[kMaxVariants] = {};
  supported_variants(list);
  return list[0];
}

WinogradChoice winograd_choice() {
  const char* given = std::getenv(kWinogradVariable);
  if (given == nullptr || given[0] == '\0' || std::strcmp(given, "1") == 0) return WinogradChoice::kOn;
  return std::strcmp(given, "0") == 0 ? WinogradChoice::kOff : WinogradChoice::kBad;
}

namespace {
struct Names {
  char text[16 * kMaxVariants] = "";
  Names() {
    const Kernels* list[kMaxVariants] = {};
    const size_t count = supported_variants(list);
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) std::strcat(text, ",");
      std::strcat(text, list[i]->name);
    }
  }
};
}  // namespace

const char* supported_variant_names() {
  static const Names names;
  return names.text;
}

}  // namespace smsr

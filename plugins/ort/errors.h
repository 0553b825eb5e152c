// Error texts (where, expected, got) and the border that no exception may cross.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <exception>
#include <new>
#include <string>

namespace smsr::ort {

[[noreturn]] inline void fail(const std::string& where, const std::string& what, const std::string& expected,
                              const std::string& got) {
  throw Ort::Exception(where + ": " + what + ": expected " + expected + ", got " + got, ORT_INVALID_ARGUMENT);
}

// Runs `body`; what it throws comes back as a status, because ONNX Runtime may have another C++ library than
// ours.
template <class Body>
OrtStatusPtr as_status(const Body& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Ort::Exception& error) {
    return Ort::GetApi().CreateStatus(error.GetOrtErrorCode(), error.what());
  } catch (const std::bad_alloc&) {
    return Ort::GetApi().CreateStatus(ORT_FAIL, "smsr: out of memory");
  } catch (const std::exception& error) {
    return Ort::GetApi().CreateStatus(ORT_FAIL, error.what());
  }
}

}  // namespace smsr::ort

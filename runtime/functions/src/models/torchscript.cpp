// The buffers of a scripted module: torch-sys has a C function for its parameters only.

#include <torch/csrc/jit/api/module.h>

#include <cstring>
#include <exception>

extern "C" char *stepgrad_named_buffers(torch::jit::Module *module, void *data,
                                        void (*take)(void *, const char *, at::Tensor *)) {
  try {
    for (const auto &buffer : module->named_buffers()) {
      if (buffer.value.defined()) take(data, buffer.name.c_str(), new at::Tensor(buffer.value));
    }
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown error");
  }
}

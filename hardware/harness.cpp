// Runs a chip on a job: what its inputs are set to, its code, what DRAM holds. See hardware/simulation.py, which writes jobs.
//
//   set INPUT VALUE | code FILE | dram ADDRESS FILE | out ADDRESS BYTES FILE | times FILE | patience CYCLES
//
// Prints "halted|deadlock|fault CYCLES". The file of times gets, for every instruction that was taken up or complete, its
// queue, 8 more where it was complete, and the cycle, each as 64 bits.

#include <sys/mman.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "Vchip.h"
#include "Vchip___024root.h"
#include "svdpi.h"

namespace {

constexpr int kBurst = BURST;
constexpr size_t kSpace = size_t{1} << 32;
uint8_t* dram = nullptr;

float real(int bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

int bits(float value) {
  int found;
  std::memcpy(&found, &value, 4);
  return found;
}

std::vector<uint8_t> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " can't be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename T>
T ordered(T a, T b, bool greater) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<T>::quiet_NaN();
  return (a > b) == greater ? a : b;
}

}  // namespace

extern "C" void dram_read(int address, svBitVecVal* data) { std::memcpy(data, dram + uint32_t(address), kBurst); }

extern "C" void dram_write(int address, const svBitVecVal* data, const svBitVecVal* mask) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(data);
  for (int i = 0; i < kBurst; ++i)
    if (mask[i / 32] >> (i % 32) & 1) dram[uint32_t(address) + i] = bytes[i];
}

// The operations of alu_pkg.sv on f32, by their numbers in docs/n1.md.
extern "C" int real_operation(int operation, int a_bits, int b_bits, int c_bits) {
  const float a = real(a_bits), b = real(b_bits), c = real(c_bits);
  switch (operation) {
    case 2: return bits(a + b);
    case 3: return bits(a - b);
    case 4: return bits(a * b);
    case 5: {
      volatile float product = a * b;
      return bits(product + c);
    }
    case 6: return bits(ordered(a, b, true));
    case 7: return bits(ordered(a, b, false));
    case 8: return bits(-a);
    case 9: return bits(std::fabs(a));
    case 15: return a < b;
    case 16: return a <= b;
    case 17: return a == b;
    case 23: return bits(a / b);
    case 25: return bits(std::sqrt(a));
    case 26: return bits(1.0f / std::sqrt(a));
    case 27: return bits(std::exp(a));
    case 28: return bits(std::tanh(a));
    case 29: return bits(float(std::erf(double(a))));
    case 30: return bits(std::floor(a));
    case 31: return bits(std::nearbyint(a));
    case 32: return bits(std::log(a));
    default: return a_bits;
  }
}

extern "C" long long real_to_integer(int a_bits) {
  const float a = real(a_bits);
  if (std::isnan(a)) return 0;
  if (a >= 2147483648.0f) return 2147483647;
  if (a < -2147483648.0f) return -2147483648LL;
  return static_cast<long long>(a);
}

extern "C" int integer_to_real(long long a) { return bits(static_cast<float>(a)); }

int main(int, char** arguments) {
  dram = static_cast<uint8_t*>(
      mmap(nullptr, kSpace, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (dram == MAP_FAILED) throw std::runtime_error("no address space for DRAM");
  VerilatedContext context;
  Vchip chip(&context);
  struct Out {
    size_t address, bytes;
    std::string file;
  };
  std::vector<Out> outs;
  std::string times_file;
  uint64_t patience = 100000;
  std::ifstream job(arguments[1]);
  for (std::string line, kind, file; std::getline(job, line);) {
    std::istringstream words(line);
    size_t address, bytes;
    words >> kind;
    if (kind == "set") {
      words >> file >> bytes;
#define INPUT(name) \
  if (file == #name) chip.name = bytes
      INPUT(issue_cycles);
      INPUT(queue_depth);
      INPUT(latency);
      INPUT(page_miss);
      INPUT(refresh_every);
      INPUT(refresh_for);
      INPUT(outstanding);
      INPUT(channels);
      INPUT(interleave);
      INPUT(page);
      INPUT(burst_cycles);
      INPUT(port_bytes);
#undef INPUT
    } else if (kind == "code") {
      words >> file;
      const auto code = read(file);
      auto& memory = chip.rootp->chip__DOT__fetch_unit__DOT__code;
      if (code.size() > sizeof(memory)) throw std::runtime_error("the code is too long for CODE_WORDS");
      std::memcpy(&memory, code.data(), code.size());
    } else if (kind == "dram") {
      words >> address >> file;
      const auto data = read(file);
      std::memcpy(dram + address, data.data(), data.size());
    } else if (kind == "out") {
      words >> address >> bytes >> file;
      outs.push_back({address, bytes, file});
    } else if (kind == "times") {
      words >> times_file;
    } else if (kind == "patience") {
      words >> patience;
    }
  }
  std::vector<uint64_t> times;
  uint64_t cycle = 0, quiet = 0;
  chip.reset = 1;
  chip.clk = 0;
  const auto tick = [&] {
    chip.clk = 1;
    chip.eval();
    chip.clk = 0;
    chip.eval();
  };
  tick();
  tick();
  chip.reset = 0;
  chip.eval();
  while (!chip.halted && !chip.fault && quiet < patience) {
    tick();
    ++cycle;
    quiet = chip.started || chip.done ? 0 : quiet + 1;
    for (int queue = 0; queue < 5; ++queue) {
      const auto note = [&](int event) { times.insert(times.end(), {uint64_t(event), cycle}); };
      if (chip.started >> queue & 1) note(queue);
      if (chip.done >> queue & 1) note(queue + 8);
    }
  }
  for (const auto& out : outs)
    std::ofstream(out.file, std::ios::binary).write(reinterpret_cast<char*>(dram + out.address), out.bytes);
  if (!times_file.empty())
    std::ofstream(times_file, std::ios::binary).write(reinterpret_cast<char*>(times.data()), times.size() * 8);
  std::cout << (chip.fault ? "fault" : chip.halted ? "halted" : "deadlock") << " " << cycle << std::endl;
  return 0;
}

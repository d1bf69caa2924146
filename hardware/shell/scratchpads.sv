// The memories that software fills, and the ports of the engines to them. Reads give their data in the next cycle and
// see what was there before the writes of their own cycle.
module scratchpads import shell_pkg::*; #(
    parameter int FEATURE_BYTES = 65536,
    parameter int PACKED_BYTES = 32768,
    parameter int SUM_WORDS = 8192,
    parameter int COLS = 8,
    parameter int WEIGHT_BYTES = 8,  // that a step of a product reads
    parameter int PLACES = 8,        // of activations that it reads
    parameter int PLACE_BYTES = 1,
    parameter int PIXELS = 1,        // rows of sums that it reads and writes
    parameter int LANES = 8,
    parameter int SIDES = 1,
    parameter int PORT = 16,
    parameter int WINDOWS = 16,
    parameter int TARGETS = 2
) (
    input logic clk,
    // copies
    input logic index_read,
    input logic [23:0] index_address,
    output logic [63:0] index_data,
    input logic load_write, packed_write,
    input logic [23:0] load_address, packed_address,
    input logic [7:0] load_count, packed_count,
    input logic [8*PORT-1:0] load_data, packed_data,
    input logic store_read,
    input logic [23:0] store_address,
    input logic [7:0] store_count,
    output logic [8*PORT-1:0] store_data,
    // products; sums are addressed in words
    input logic weight_read,
    input logic [23:0] weight_address,
    output logic [WEIGHT_BYTES-1:0][7:0] weight_data,
    input logic [PLACES-1:0] a_read,
    input logic [PLACES-1:0][23:0] a_address,
    output logic [PLACES*PLACE_BYTES-1:0][7:0] a_data,
    input logic [PIXELS-1:0] sum_read, sum_write,
    input logic [PIXELS-1:0][21:0] sum_read_address, sum_write_address,
    input logic [7:0] sum_write_count,
    output logic [PIXELS-1:0][COLS-1:0][31:0] sum_read_data,
    input logic [PIXELS-1:0][COLS-1:0][31:0] sum_write_data,
    // vectors: operands, one of each memory; the window of sums over taps, and tables; what is combined with, written
    input elements_t [2:0] operand,
    output logic [2:0][LANES-1:0][63:0] operand_data,
    input elements_t [WINDOWS-1:0] window,
    output logic [WINDOWS-1:0][LANES-1:0][63:0] window_data,
    input elements_t target_read,
    output logic [LANES-1:0][63:0] target_data,
    input elements_t [TARGETS-1:0] target,
    input logic [TARGETS-1:0][LANES-1:0][63:0] target_values
);
  localparam int SHORT = LANES / SIDES;
  logic [7:0] features[FEATURE_BYTES];
  logic [7:0] packed_[PACKED_BYTES];
  logic [31:0] sums[SUM_WORDS];

  function automatic logic [7:0] byte_of(input memory_e memory, input logic [31:0] address);
    case (memory)
      FEATURES: return address < FEATURE_BYTES ? features[address] : 0;
      PACKED: return address < PACKED_BYTES ? packed_[address] : 0;
      default: return address < 4 * SUM_WORDS ? sums[address>>2][8*(address&3)+:8] : 0;
    endcase
  endfunction

  // An element as its number: integers extended, f32 and bf16 as the bits of f32.
  function automatic logic [63:0] element(input memory_e memory, input dtype_e dtype, input logic [31:0] address);
    logic [63:0] raw = '0;
    if (memory == SUMS && bytes_of(dtype) == 4) raw[31:0] = sums[address>>2];
    else for (int i = 0; i < bytes_of(dtype); i++) raw[8*i+:8] = byte_of(memory, address + i);
    case (dtype)
      I8: return 64'(signed'(raw[7:0]));
      I16: return 64'(signed'(raw[15:0]));
      I32, F32: return 64'(signed'(raw[31:0]));
      BF16: return {32'd0, raw[15:0], 16'd0};
      default: return raw;
    endcase
  endfunction

  // Whether a vector has the lane, and where its element is.
  function automatic logic has(input elements_t e, input int lane);
    return e.side_by_side ? 8'(lane % SHORT) < e.count && 8'(lane / SHORT) < e.lines : 8'(lane) < e.count;
  endfunction
  function automatic logic [31:0] place(input elements_t e, input int lane);
    logic [31:0] offset = e.side_by_side ? (lane % SHORT) * 32'(e.stride) + (lane / SHORT) * 32'(e.line_stride) : lane * 32'(e.stride);
    return e.address + offset * bytes_of(e.dtype);
  endfunction

  function automatic logic [LANES-1:0][63:0] vector(input elements_t e);
    logic [LANES-1:0][63:0] values = '0;
    for (int i = 0; i < LANES; i++) if (has(e, i)) values[i] = element(e.memory, e.dtype, place(e, i));
    return values;
  endfunction

  // Memories are touched in this block alone, reads before writes, so blocking assignments are in order.
  /* verilator lint_off BLKSEQ */
  always @(posedge clk) begin
    logic [8*PORT-1:0] copied;
    logic [PLACES*PLACE_BYTES-1:0][7:0] activations;
    logic [WEIGHT_BYTES-1:0][7:0] weights;
    logic [PIXELS-1:0][COLS-1:0][31:0] held;
    logic [31:0] address;
    if (index_read) for (int i = 0; i < 8; i++) index_data[8*i+:8] = byte_of(FEATURES, 32'(index_address) + i);
    if (store_read) begin
      for (int i = 0; i < PORT; i++) if (8'(i) < store_count) copied[8*i+:8] = features[store_address+24'(i)];
      store_data <= copied;
    end
    if (weight_read) begin
      for (int i = 0; i < WEIGHT_BYTES; i++) weights[i] = packed_[weight_address+24'(i)];
      weight_data <= weights;
    end
    if (a_read != 0) begin
      for (int p = 0; p < PLACES; p++)
        for (int i = 0; i < PLACE_BYTES; i++)
          if (a_read[p]) activations[p*PLACE_BYTES+i] = byte_of(FEATURES, 32'(a_address[p]) + i);
      a_data <= activations;
    end
    if (sum_read != 0) begin
      for (int p = 0; p < PIXELS; p++)
        if (sum_read[p]) for (int i = 0; i < COLS; i++) held[p][i] = sums[sum_read_address[p]+22'(i)];
      sum_read_data <= held;
    end
    for (int m = 0; m < 3; m++) if (operand[m].valid) operand_data[m] <= vector(operand[m]);
    for (int n = 0; n < WINDOWS; n++) if (window[n].valid) window_data[n] <= vector(window[n]);
    if (target_read.valid) target_data <= vector(target_read);

    if (load_write) for (int i = 0; i < PORT; i++) if (8'(i) < load_count) features[load_address+24'(i)] = load_data[8*i+:8];
    if (packed_write)
      for (int i = 0; i < PORT; i++) if (8'(i) < packed_count) packed_[packed_address+24'(i)] = packed_data[8*i+:8];
    for (int p = 0; p < PIXELS; p++)
      if (sum_write[p])
        for (int i = 0; i < COLS; i++) if (8'(i) < sum_write_count) sums[sum_write_address[p]+22'(i)] = sum_write_data[p][i];
    for (int t = 0; t < TARGETS; t++)
      if (target[t].valid)
        for (int i = 0; i < LANES; i++)
          if (has(target[t], i)) begin
            address = place(target[t], i);
            for (int b = 0; b < bytes_of(target[t].dtype); b++)
              case (target[t].memory)
                FEATURES: features[address+b] = target_values[t][i][8*b+:8];
                PACKED: packed_[address+b] = target_values[t][i][8*b+:8];
                default: sums[(address+b)>>2][8*((address+b)&3)+:8] = target_values[t][i][8*b+:8];
              endcase
          end
  end
  /* verilator lint_on BLKSEQ */
endmodule

// The memories that software fills, and the ports of the engines to them. Reads give their data in the next cycle and
// see what was there before the writes of their own cycle.
module scratchpads import n1_pkg::*; #(
    parameter int SPA_BYTES = 65536,
    parameter int SPW_BYTES = 32768,
    parameter int ACC_LANES = 8192,
    parameter int ROWS = 8,
    parameter int COLS = 8,
    parameter int LANES = 8,
    parameter int PORT = 16,
    parameter int WINDOWS = 16,
    parameter int TARGETS = 2
) (
    input logic clk,
    // copies
    input logic index_read,
    input logic [23:0] index_address,
    output logic [63:0] index_data,
    input logic lda_write, ldw_write,
    input logic [23:0] lda_address, ldw_address,
    input logic [7:0] lda_count, ldw_count,
    input logic [8*PORT-1:0] lda_data, ldw_data,
    input logic sto_read,
    input logic [23:0] sto_address,
    input logic [7:0] sto_count,
    output logic [8*PORT-1:0] sto_data,
    // products
    input logic weight_read,
    input logic [23:0] weight_address,
    output logic [COLS-1:0][7:0] weight_data,
    input logic a_read,
    input logic [23:0] a_address,
    input logic rows_read,
    input logic [ROWS-1:0][23:0] rows_address,
    output logic [ROWS-1:0][7:0] a_data,
    input logic sum_read, sum_write,
    input logic [19:0] sum_read_address, sum_write_address,
    input logic [7:0] sum_read_count, sum_write_count,
    output logic [COLS-1:0][31:0] sum_read_data,
    input logic [COLS-1:0][31:0] sum_write_data,
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
  logic [7:0] spa[SPA_BYTES];
  logic [7:0] spw[SPW_BYTES];
  logic [31:0] acc[ACC_LANES];

  function automatic logic [7:0] byte_of(input memory_e memory, input logic [31:0] address);
    case (memory)
      SPA: return address < SPA_BYTES ? spa[address] : 0;
      SPW: return address < SPW_BYTES ? spw[address] : 0;
      default: return address < 4 * ACC_LANES ? acc[address>>2][8*(address&3)+:8] : 0;
    endcase
  endfunction

  // An element as its number: integers extended, f32 and bf16 as the bits of f32.
  function automatic logic [63:0] element(input memory_e memory, input dtype_e dtype, input logic [31:0] address);
    logic [63:0] raw = '0;
    if (memory == ACC && bytes_of(dtype) == 4) raw[31:0] = acc[address>>2];
    else for (int i = 0; i < bytes_of(dtype); i++) raw[8*i+:8] = byte_of(memory, address + i);
    case (dtype)
      I8: return 64'(signed'(raw[7:0]));
      I16: return 64'(signed'(raw[15:0]));
      I32, F32: return 64'(signed'(raw[31:0]));
      BF16: return {32'd0, raw[15:0], 16'd0};
      default: return raw;
    endcase
  endfunction

  function automatic logic [LANES-1:0][63:0] vector(input elements_t e);
    logic [LANES-1:0][63:0] values = '0;
    logic [31:0] address = e.address;
    for (int i = 0; i < LANES; i++)
      if (8'(i) < e.count) begin
        values[i] = element(e.memory, e.dtype, address);
        address += 32'(e.stride) * bytes_of(e.dtype);
      end
    return values;
  endfunction

  // Memories are touched in this block alone, reads before writes, so blocking assignments are in order.
  /* verilator lint_off BLKSEQ */
  always @(posedge clk) begin
    logic [8*PORT-1:0] copied;
    logic [ROWS-1:0][7:0] activations;
    logic [COLS-1:0][7:0] weights;
    logic [COLS-1:0][31:0] sums;
    logic [31:0] address;
    if (index_read) begin
      for (int i = 0; i < 8; i++) index_data[8*i+:8] = byte_of(SPA, 32'(index_address) + i);
    end
    if (sto_read) begin
      for (int i = 0; i < PORT; i++) if (8'(i) < sto_count) copied[8*i+:8] = spa[sto_address+24'(i)];
      sto_data <= copied;
    end
    if (weight_read) begin
      for (int i = 0; i < COLS; i++) weights[i] = spw[weight_address+24'(i)];
      weight_data <= weights;
    end
    if (a_read) begin
      for (int i = 0; i < ROWS; i++) activations[i] = spa[a_address+24'(i)];
      a_data <= activations;
    end
    if (rows_read) begin
      for (int i = 0; i < ROWS; i++) activations[i] = byte_of(SPA, 32'(rows_address[i]));
      a_data <= activations;
    end
    if (sum_read) begin
      for (int i = 0; i < COLS; i++) sums[i] = acc[sum_read_address+20'(i)];
      sum_read_data <= sums;
    end
    for (int m = 0; m < 3; m++) if (operand[m].valid) operand_data[m] <= vector(operand[m]);
    for (int n = 0; n < WINDOWS; n++) if (window[n].valid) window_data[n] <= vector(window[n]);
    if (target_read.valid) target_data <= vector(target_read);

    if (lda_write) for (int i = 0; i < PORT; i++) if (8'(i) < lda_count) spa[lda_address+24'(i)] = lda_data[8*i+:8];
    if (ldw_write) for (int i = 0; i < PORT; i++) if (8'(i) < ldw_count) spw[ldw_address+24'(i)] = ldw_data[8*i+:8];
    if (sum_write)
      for (int i = 0; i < COLS; i++) if (8'(i) < sum_write_count) acc[sum_write_address+20'(i)] = sum_write_data[i];
    for (int t = 0; t < TARGETS; t++)
      if (target[t].valid) begin
        address = target[t].address;
        for (int i = 0; i < LANES; i++)
          if (8'(i) < target[t].count) begin
            for (int b = 0; b < bytes_of(target[t].dtype); b++)
              case (target[t].memory)
                SPA: spa[address+b] = target_values[t][i][8*b+:8];
                SPW: spw[address+b] = target_values[t][i][8*b+:8];
                default: acc[(address+b)>>2][8*((address+b)&3)+:8] = target_values[t][i][8*b+:8];
              endcase
            address += 32'(target[t].stride) * bytes_of(target[t].dtype);
          end
      end
  end
  /* verilator lint_on BLKSEQ */
endmodule

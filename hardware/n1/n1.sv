// A chip of the n1 family: fetch, five queues between which semaphores order, their engines, the memories.
// Sizes are generics, timing figures inputs, both from the chip file.
module n1 import n1_pkg::*; #(
    parameter int ROWS = 8,
    parameter int COLS = 8,
    parameter int STILL = 1,
    parameter int LANES = 8,
    parameter int TAPS = 8,
    parameter int SPECIALS = 2,
    parameter int ACROSS = 4,
    parameter int SPA_BYTES = 65536,
    parameter int SPW_BYTES = 32768,
    parameter int ACC_LANES = 8192,
    parameter int CHANNELS = 2,
    parameter int BURST = 64,
    parameter int PORT = 32,
    parameter int CODE_WORDS = 65536
) (
    input logic clk, reset,
    input logic [15:0] issue_cycles, queue_depth, latency, page_miss, refresh_every, refresh_for, outstanding, channels,
    input logic [31:0] interleave, page,
    input logic [15:0] burst_cycles, port_bytes,
    output logic halted, fault,
    output logic [QUEUES-1:0] started, done
);
  localparam int MASTERS = 3;
  localparam int SLOT_BITS = 6;
  localparam int TARGETS = 2;

  timing_t timing;
  assign timing = '{issue_cycles, queue_depth, latency, page_miss, refresh_every, refresh_for, outstanding, channels,
                    interleave, page, burst_cycles, port_bytes};

  // ---- queues and semaphores --------------------------------------------------------------------------------------
  typedef struct packed {
    masks_t masks;
    logic [5:0] opcode;
    logic [383:0] words;
  } short_t;
  typedef struct packed {
    masks_t masks;
    logic [5:0] opcode;
    logic [LONGEST-1:0][127:0] words;
  } long_t;

  logic [QUEUES-1:0] push, room, valid, ready, start, idle;
  logic [QUEUES-1:0][SEMAPHORES-1:0] signals, waits;
  masks_t fetched_masks, vec_masks;
  logic [5:0] fetched_opcode;
  logic [LONGEST-1:0][127:0] fetched;
  short_t [QUEUES-1:0] heads;
  long_t vec_head;
  logic [15:0] tokens[SEMAPHORES];
  logic [SEMAPHORES-1:0] present;
  wire drained = valid == 0 && &idle;

  fetch #(.CODE_WORDS(CODE_WORDS)) fetch_unit (
      .clk, .reset, .timing, .room, .drained, .push, .opcode(fetched_opcode), .masks(fetched_masks), .instruction(fetched),
      .halted
  );
  for (genvar q = 0; q < QUEUES; q++) begin : engine_queue
    if (q == VEC) begin : lists
      queue #(.WIDTH($bits(long_t))) fifo (
          .clk, .reset, .depth(queue_depth), .push(push[q]), .pop(start[q]),
          .in({fetched_masks, fetched_opcode, fetched}), .out(vec_head), .valid(valid[q]), .room(room[q])
      );
      assign waits[q] = vec_head.masks.waits;
      assign heads[q] = '0;
    end else begin : plain
      queue #(.WIDTH($bits(short_t))) fifo (
          .clk, .reset, .depth(queue_depth), .push(push[q]), .pop(start[q]),
          .in({fetched_masks, fetched_opcode, fetched[2:0]}), .out(heads[q]), .valid(valid[q]), .room(room[q])
      );
      assign waits[q] = heads[q].masks.waits;
    end
    assign start[q] = valid[q] && ready[q] && (waits[q] & ~present) == 0;
  end
  assign started = start;

  for (genvar s = 0; s < SEMAPHORES; s++) begin : semaphore
    logic [2:0] given, taken;
    always_comb begin
      given = 0;
      taken = 0;
      for (int q = 0; q < QUEUES; q++) begin
        given += 3'(done[q] && signals[q][s]);
        taken += 3'(start[q] && waits[q][s]);
      end
    end
    assign present[s] = tokens[s] != 0;
    always_ff @(posedge clk) tokens[s] <= reset ? 0 : tokens[s] + 16'(given) - 16'(taken);
  end

  // ---- engines ----------------------------------------------------------------------------------------------------
  logic [MASTERS-1:0] request, taken;
  logic [MASTERS-1:0][31:0] address;
  logic [MASTERS-1:0][SLOT_BITS-1:0] slot;
  logic [MASTERS-1:0][8*BURST-1:0] out_data;
  logic [MASTERS-1:0][BURST-1:0] out_mask;
  logic [CHANNELS-1:0] answer;
  logic [CHANNELS-1:0][1:0] answer_master;
  logic [CHANNELS-1:0][SLOT_BITS-1:0] answer_slot;
  logic [CHANNELS-1:0][8*BURST-1:0] answer_data;
  dram #(.MASTERS(MASTERS), .CHANNELS(CHANNELS), .BURST(BURST), .SLOT_BITS(SLOT_BITS)) memory (
      .clk, .reset, .timing, .request, .is_write(3'b100), .address, .slot, .data(out_data), .mask(out_mask), .taken,
      .answer, .answer_master, .answer_slot, .answer_data
  );

  logic index_read, lda_write, ldw_write, sto_read, unused_read;
  logic [23:0] index_address, lda_address, ldw_address, sto_address, unused_address;
  logic [63:0] index_data;
  logic [7:0] lda_count, ldw_count, sto_count;
  logic [8*PORT-1:0] lda_data, ldw_data, sto_data;
  logic lda_fault, ldw_fault;
  assign fault = lda_fault || ldw_fault;

  dma_load #(.BURST(BURST), .CHANNELS(CHANNELS), .PORT(PORT), .SLOT_BITS(SLOT_BITS), .MASTER(0)) lda (
      .clk, .reset, .timing, .start(start[LDA]), .copy(copy_of(heads[LDA].opcode, heads[LDA].words)),
      .masks(heads[LDA].masks), .ready(ready[LDA]), .done(done[LDA]), .idle(idle[LDA]), .signals(signals[LDA]),
      .fault(lda_fault), .request(request[0]), .address(address[0]), .slot(slot[0]), .taken(taken[0]), .answer,
      .answer_master, .answer_slot, .answer_data, .index_read, .index_address, .index_data, .write(lda_write),
      .write_address(lda_address), .write_count(lda_count), .write_data(lda_data)
  );
  dma_load #(.BURST(BURST), .CHANNELS(CHANNELS), .PORT(PORT), .SLOT_BITS(SLOT_BITS), .MASTER(1)) ldw (
      .clk, .reset, .timing, .start(start[LDW]), .copy(copy_of(heads[LDW].opcode, heads[LDW].words)),
      .masks(heads[LDW].masks), .ready(ready[LDW]), .done(done[LDW]), .idle(idle[LDW]), .signals(signals[LDW]),
      .fault(ldw_fault), .request(request[1]), .address(address[1]), .slot(slot[1]), .taken(taken[1]), .answer,
      .answer_master, .answer_slot, .answer_data, .index_read(unused_read), .index_address(unused_address),
      .index_data(64'd0), .write(ldw_write), .write_address(ldw_address), .write_count(ldw_count), .write_data(ldw_data)
  );
  dma_store #(.BURST(BURST), .CHANNELS(CHANNELS), .PORT(PORT), .SLOT_BITS(SLOT_BITS), .MASTER(2)) sto (
      .clk, .reset, .timing, .start(start[STO]), .copy(copy_of(heads[STO].opcode, heads[STO].words)),
      .masks(heads[STO].masks), .ready(ready[STO]), .done(done[STO]), .idle(idle[STO]), .signals(signals[STO]),
      .request(request[2]), .address(address[2]), .slot(slot[2]), .data(out_data[2]), .mask(out_mask[2]),
      .taken(taken[2]), .answer, .answer_master, .answer_slot, .read(sto_read), .read_address(sto_address),
      .read_count(sto_count), .read_data(sto_data)
  );
  assign out_data[1:0] = '0;
  assign out_mask[1:0] = '0;

  logic weight_read, a_read, rows_read, sum_read, sum_write;
  logic [ROWS-1:0][23:0] rows_address;
  logic [23:0] weight_address, a_address;
  logic [COLS-1:0][7:0] weight_data;
  logic [ROWS-1:0][7:0] a_data;
  logic [19:0] sum_read_address, sum_write_address;
  logic [7:0] sum_read_count, sum_write_count;
  logic [COLS-1:0][31:0] sum_read_data, sum_write_data;
  mxu #(.ROWS(ROWS), .COLS(COLS), .STILL(STILL)) matrix_unit (
      .clk, .reset, .start(start[MXU]), .product(product_of(heads[MXU].words)), .masks(heads[MXU].masks),
      .ready(ready[MXU]), .done(done[MXU]), .idle(idle[MXU]), .signals(signals[MXU]), .weight_read, .weight_address,
      .weight_data, .a_read, .a_address, .a_data, .rows_read, .rows_address, .sum_read, .sum_write, .sum_read_address,
      .sum_write_address, .sum_read_count, .sum_write_count, .sum_read_data, .sum_write_data
  );

  elements_t [2:0] operand;
  elements_t [2*TAPS-1:0] window;
  elements_t target_read;
  elements_t [TARGETS-1:0] target;
  logic [2:0][LANES-1:0][63:0] operand_data;
  logic [2*TAPS-1:0][LANES-1:0][63:0] window_data;
  logic [LANES-1:0][63:0] target_data;
  logic [TARGETS-1:0][LANES-1:0][63:0] target_values;
  vec #(.LANES(LANES), .TAPS(TAPS), .SPECIALS(SPECIALS), .TARGETS(TARGETS), .ACROSS(ACROSS)) vector_unit (
      .clk, .reset, .start(start[VEC]), .is_program(vec_head.opcode == OP_PROGRAM), .instruction(vec_head.words),
      .masks(vec_head.masks), .ready(ready[VEC]), .done(done[VEC]), .signals(signals[VEC]), .operand, .operand_data,
      .window, .window_data, .target_read, .target_data, .target, .target_values
  );
  assign idle[VEC] = ready[VEC] && !done[VEC];

  scratchpads #(
      .SPA_BYTES(SPA_BYTES), .SPW_BYTES(SPW_BYTES), .ACC_LANES(ACC_LANES), .ROWS(ROWS), .COLS(COLS), .LANES(LANES),
      .PORT(PORT), .WINDOWS(2 * TAPS), .TARGETS(TARGETS)
  ) pads (
      .clk, .index_read, .index_address, .index_data, .lda_write, .ldw_write, .lda_address, .ldw_address, .lda_count,
      .ldw_count, .lda_data, .ldw_data, .sto_read, .sto_address, .sto_count, .sto_data, .weight_read, .weight_address,
      .weight_data, .a_read, .a_address, .a_data, .rows_read, .rows_address, .sum_read, .sum_write, .sum_read_address, .sum_write_address,
      .sum_read_count, .sum_write_count, .sum_read_data, .sum_write_data, .operand, .operand_data, .window,
      .window_data, .target_read, .target_data, .target, .target_values
  );
endmodule

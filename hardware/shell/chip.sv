// A chip: fetch, five queues between which semaphores order, their engines, the memories. Its instructions stand in
// isa_pkg, its array in the module `products`; all else is the same for all chips. Sizes are generics, timing figures
// inputs, both from the chip file.
module chip import shell_pkg::*; import isa_pkg::*; #(
    parameter int ROWS = 8,
    parameter int COLS = 8,
    parameter int PIXELS = 1,  // rows of sums that the array completes a cycle
    parameter int STILL = 1,   // the mapping in which sums stand still, where there is one
    parameter int LANES = 8,
    parameter int SIDES = 1,   // lines that a vector may hold side by side
    parameter int TAPS = 8,
    parameter int SPECIALS = 2,
    parameter int ACROSS = 4,
    parameter int FEATURE_BYTES = 65536,
    parameter int PACKED_BYTES = 32768,
    parameter int SUM_WORDS = 8192,
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
  localparam int WEIGHT_BYTES = weights_a_cycle(ROWS, COLS);
  localparam int PLACES = places_a_cycle(ROWS, PIXELS);
  localparam int PLACE_BYTES = place_bytes(ROWS);

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
  masks_t fetched_masks;
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
    if (q == VECTORS) begin : lists
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

  logic index_read, load_write, packed_write, store_read, unused_read;
  logic [23:0] index_address, load_address, packed_address, store_address, unused_address;
  logic [63:0] index_data;
  logic [7:0] load_count, packed_count, store_count;
  logic [8*PORT-1:0] load_data, packed_data, store_data;
  logic load_fault, packed_fault, product_fault;
  assign fault = load_fault || packed_fault || product_fault;

  dma_load #(.BURST(BURST), .CHANNELS(CHANNELS), .PORT(PORT), .SLOT_BITS(SLOT_BITS), .MASTER(0)) load (
      .clk, .reset, .timing, .start(start[LOAD]), .copy(copy_of(heads[LOAD].opcode, heads[LOAD].words)),
      .masks(heads[LOAD].masks), .ready(ready[LOAD]), .done(done[LOAD]), .idle(idle[LOAD]), .signals(signals[LOAD]),
      .fault(load_fault), .request(request[0]), .address(address[0]), .slot(slot[0]), .taken(taken[0]), .answer,
      .answer_master, .answer_slot, .answer_data, .index_read, .index_address, .index_data, .write(load_write),
      .write_address(load_address), .write_count(load_count), .write_data(load_data)
  );
  dma_load #(.BURST(BURST), .CHANNELS(CHANNELS), .PORT(PORT), .SLOT_BITS(SLOT_BITS), .MASTER(1)) weights (
      .clk, .reset, .timing, .start(start[WEIGHTS]), .copy(copy_of(heads[WEIGHTS].opcode, heads[WEIGHTS].words)),
      .masks(heads[WEIGHTS].masks), .ready(ready[WEIGHTS]), .done(done[WEIGHTS]), .idle(idle[WEIGHTS]),
      .signals(signals[WEIGHTS]), .fault(packed_fault), .request(request[1]), .address(address[1]), .slot(slot[1]),
      .taken(taken[1]), .answer, .answer_master, .answer_slot, .answer_data, .index_read(unused_read),
      .index_address(unused_address), .index_data(64'd0), .write(packed_write), .write_address(packed_address),
      .write_count(packed_count), .write_data(packed_data)
  );
  dma_store #(.BURST(BURST), .CHANNELS(CHANNELS), .PORT(PORT), .SLOT_BITS(SLOT_BITS), .MASTER(2)) store (
      .clk, .reset, .timing, .start(start[STORE]), .copy(copy_of(heads[STORE].opcode, heads[STORE].words)),
      .masks(heads[STORE].masks), .ready(ready[STORE]), .done(done[STORE]), .idle(idle[STORE]), .signals(signals[STORE]),
      .request(request[2]), .address(address[2]), .slot(slot[2]), .data(out_data[2]), .mask(out_mask[2]),
      .taken(taken[2]), .answer, .answer_master, .answer_slot, .read(store_read), .read_address(store_address),
      .read_count(store_count), .read_data(store_data)
  );
  assign out_data[1:0] = '0;
  assign out_mask[1:0] = '0;

  logic weight_read;
  logic [23:0] weight_address;
  logic [WEIGHT_BYTES-1:0][7:0] weight_data;
  logic [PLACES-1:0] a_read;
  logic [PLACES-1:0][23:0] a_address;
  logic [PLACES*PLACE_BYTES-1:0][7:0] a_data;
  logic [PIXELS-1:0] sum_read, sum_write;
  logic [PIXELS-1:0][21:0] sum_read_address, sum_write_address;
  logic [7:0] sum_write_count;
  logic [PIXELS-1:0][COLS-1:0][31:0] sum_read_data, sum_write_data;
  products #(.ROWS(ROWS), .COLS(COLS), .PIXELS(PIXELS), .STILL(STILL)) array_unit (
      .clk, .reset, .start(start[PRODUCTS]), .product(product_of(heads[PRODUCTS].words)), .masks(heads[PRODUCTS].masks),
      .ready(ready[PRODUCTS]), .done(done[PRODUCTS]), .idle(idle[PRODUCTS]), .signals(signals[PRODUCTS]),
      .fault(product_fault), .weight_read, .weight_address, .weight_data, .a_read, .a_address, .a_data, .sum_read,
      .sum_write, .sum_read_address, .sum_write_address, .sum_write_count, .sum_read_data, .sum_write_data
  );

  elements_t [2:0] operand;
  elements_t [2*TAPS-1:0] window;
  elements_t target_read;
  elements_t [TARGETS-1:0] target;
  logic [2:0][LANES-1:0][63:0] operand_data;
  logic [2*TAPS-1:0][LANES-1:0][63:0] window_data;
  logic [LANES-1:0][63:0] target_data;
  logic [TARGETS-1:0][LANES-1:0][63:0] target_values;
  vectors #(
      .LANES(LANES), .SIDES(SIDES), .TAPS(TAPS), .SPECIALS(SPECIALS), .TARGETS(TARGETS), .ACROSS(ACROSS)
  ) vector_unit (
      .clk, .reset, .start(start[VECTORS]), .given(work_of(vec_head.words)), .masks(vec_head.masks),
      .ready(ready[VECTORS]), .done(done[VECTORS]), .signals(signals[VECTORS]), .operand, .operand_data, .window,
      .window_data, .target_read, .target_data, .target, .target_values
  );
  assign idle[VECTORS] = ready[VECTORS] && !done[VECTORS];

  scratchpads #(
      .FEATURE_BYTES(FEATURE_BYTES), .PACKED_BYTES(PACKED_BYTES), .SUM_WORDS(SUM_WORDS), .COLS(COLS),
      .WEIGHT_BYTES(WEIGHT_BYTES), .PLACES(PLACES), .PLACE_BYTES(PLACE_BYTES), .PIXELS(PIXELS), .LANES(LANES),
      .SIDES(SIDES), .PORT(PORT), .WINDOWS(2 * TAPS), .TARGETS(TARGETS)
  ) pads (
      .clk, .index_read, .index_address, .index_data, .load_write, .packed_write, .load_address, .packed_address,
      .load_count, .packed_count, .load_data, .packed_data, .store_read, .store_address, .store_count, .store_data,
      .weight_read, .weight_address, .weight_data, .a_read, .a_address, .a_data, .sum_read, .sum_write,
      .sum_read_address, .sum_write_address, .sum_write_count, .sum_read_data, .sum_write_data, .operand,
      .operand_data, .window, .window_data, .target_read, .target_data, .target, .target_values
  );
endmodule

// Copies from the activation scratchpad to DRAM: sto. Reads a port's width a cycle, gathers bursts, hands them to DRAM;
// bytes of one burst that follow one another are written together. A copy is complete when DRAM has taken its last burst.
module dma_store import shell_pkg::*; #(
    parameter int BURST = 64,
    parameter int CHANNELS = 4,
    parameter int PORT = 64,
    parameter int SLOT_BITS = 5,
    parameter int MASTER = 2
) (
    input logic clk, reset,
    input timing_t timing,
    input logic start,
    input copy_t copy,
    input masks_t masks,
    output logic ready, done, idle,
    output logic [SEMAPHORES-1:0] signals,
    output logic request,
    output logic [31:0] address,
    output logic [SLOT_BITS-1:0] slot,
    output logic [8*BURST-1:0] data,
    output logic [BURST-1:0] mask,
    input logic taken,
    input logic [CHANNELS-1:0] answer,
    input logic [CHANNELS-1:0][1:0] answer_master,
    input logic [CHANNELS-1:0][SLOT_BITS-1:0] answer_slot,
    output logic read,
    output logic [23:0] read_address,
    output logic [7:0] read_count,
    input logic [8*PORT-1:0] read_data
);
  localparam int SLOTS = 1 << SLOT_BITS;
  localparam int WAITING = 4;
  localparam logic [31:0] OFFSET = BURST - 1;

  // ---- reading ----------------------------------------------------------------------------------------------------
  copy_t c;
  logic [SEMAPHORES-1:0] c_signals;
  logic active, flushing;
  logic [15:0] i1, i2;
  logic [23:0] offset;
  logic [31:0] plane, row;
  logic [23:0] scratch_plane, scratch;

  // what was read in the cycle before, on its way into the burst
  logic coming;
  logic [31:0] coming_at;
  logic [7:0] coming_count;

  logic gathering;  // the burst that is put together
  logic [31:0] burst;
  logic [8*BURST-1:0] bytes;
  logic [BURST-1:0] bytes_mask;

  typedef struct packed {
    logic [31:0] address;
    logic [SLOT_BITS-1:0] slot;
    logic [8*BURST-1:0] data;
    logic [BURST-1:0] mask;
  } burst_t;
  burst_t waiting[WAITING];
  logic [1:0] waiting_head, waiting_tail;
  logic [2:0] waiting_count;

  wire [31:0] target = row + 32'(offset);
  wire [15:0] beat = timing.port_bytes - (16'(target) & (timing.port_bytes - 1));
  wire [23:0] rest = c.n0 - offset;
  wire [23:0] count = rest < 24'(beat) ? rest : 24'(beat);
  logic [SLOT_BITS-1:0] head, tail;  // bursts that DRAM has not taken yet
  wire slots_left = SLOT_BITS'(head - tail) < SLOT_BITS'(SLOTS - 8);
  assign read = active && !flushing && waiting_count < WAITING - 2 && slots_left;
  assign read_address = scratch + 24'(offset);
  assign read_count = 8'(count);
  wire moving = read;
  wire row_done = moving && rest == count;
  wire plane_done = row_done && i1 + 1 == c.n1;
  wire all_read = plane_done && i2 + 1 == c.n2;

  wire joins = gathering && burst == (coming_at & ~OFFSET);
  wire finished = flushing && !coming;
  wire push = gathering && ((coming && !joins) || finished);
  wire [8*BURST-1:0] part = (8 * BURST)'(read_data) << (8 * (coming_at & OFFSET));
  logic [BURST-1:0] part_mask;
  logic [8*BURST-1:0] part_bits;
  always_comb begin
    part_mask = ((BURST'(1) << coming_count) - 1) << (coming_at & OFFSET);
    for (int i = 0; i < BURST; i++) part_bits[8*i+:8] = {8{part_mask[i]}};
  end

  // ---- what DRAM has taken ----------------------------------------------------------------------------------------
  logic [SLOTS-1:0] acknowledged;
  logic [3:0] open_head, open_tail;
  logic [SLOT_BITS-1:0] open_end[16];
  logic [SEMAPHORES-1:0] open_signals[16];
  wire open_any = open_head != open_tail;

  assign ready = !active && open_head + 4'd1 != open_tail && slots_left;
  assign idle = !active && !open_any && !done;
  assign request = waiting_count != 0;
  assign address = waiting[waiting_tail].address;
  assign slot = waiting[waiting_tail].slot;
  assign data = waiting[waiting_tail].data;
  assign mask = waiting[waiting_tail].mask;

  always_ff @(posedge clk) begin
    for (int k = 0; k < CHANNELS; k++) if (answer[k] && answer_master[k] == 2'(MASTER)) acknowledged[answer_slot[k]] <= 1;
    if (push) acknowledged[head] <= 0;
  end

  wire acknowledge = tail != head && acknowledged[tail];
  wire complete = open_any && open_end[open_tail] == tail;
  always_ff @(posedge clk) begin
    done <= complete && !reset;
    signals <= open_signals[open_tail];
    if (reset) begin
      active <= 0;
      flushing <= 0;
      coming <= 0;
      gathering <= 0;
      waiting_head <= 0;
      waiting_tail <= 0;
      waiting_count <= 0;
      head <= 0;
      tail <= 0;
      open_head <= 0;
      open_tail <= 0;
    end else begin
      coming <= moving;
      coming_at <= target;
      coming_count <= 8'(count);
      if (moving) begin
        offset <= row_done ? 0 : offset + count;
        if (row_done) begin
          i1 <= plane_done ? 0 : i1 + 1;
          row <= plane_done ? plane + c.s2 : row + c.s1;
          scratch <= plane_done ? scratch_plane + c.d2 : scratch + c.d1;
        end
        if (plane_done) begin
          i2 <= i2 + 1;
          plane <= plane + c.s2;
          scratch_plane <= scratch_plane + c.d2;
        end
        if (all_read) flushing <= 1;
      end
      if (coming) begin
        gathering <= 1;
        burst <= coming_at & ~OFFSET;
        bytes <= ((joins ? bytes : '0) & ~part_bits) | (part & part_bits);
        bytes_mask <= (joins ? bytes_mask : '0) | part_mask;
      end
      if (push) begin
        waiting[waiting_head] <= '{address: burst, slot: head, data: bytes, mask: bytes_mask};
        waiting_head <= waiting_head + 1;
        head <= head + 1;
      end
      if (taken) waiting_tail <= waiting_tail + 1;
      waiting_count <= waiting_count + 3'(push) - 3'(taken);
      if (finished) begin
        gathering <= 0;
        flushing <= 0;
        active <= 0;
        open_end[open_head] <= head + 1;
        open_signals[open_head] <= c_signals;
        open_head <= open_head + 1;
      end
      if (acknowledge) tail <= tail + 1;
      if (complete) open_tail <= open_tail + 1;
      if (start) begin
        active <= 1;
        c <= copy;
        c_signals <= masks.signals;
        i1 <= 0;
        i2 <= 0;
        offset <= 0;
        plane <= copy.dram;
        row <= copy.dram;
        scratch_plane <= copy.scratch;
        scratch <= copy.scratch;
      end
    end
  end
endmodule

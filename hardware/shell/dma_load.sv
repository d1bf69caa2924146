// Copies from DRAM to a scratchpad: lda, gather, ldw. One half asks DRAM for bursts, the other writes what has come, a
// port's width a cycle, and padding. The first takes up the next copy while the second still works on the one before.
// A burst that two rows following one another share is read once.
module dma_load import shell_pkg::*; #(
    parameter int BURST = 64,
    parameter int CHANNELS = 4,
    parameter int PORT = 64,
    parameter int SLOT_BITS = 5,
    parameter int MASTER = 0
) (
    input logic clk, reset,
    input timing_t timing,
    // the queue
    input logic start,
    input copy_t copy,
    input masks_t masks,
    output logic ready, done, idle,
    output logic [SEMAPHORES-1:0] signals,
    output logic fault,
    // DRAM
    output logic request,
    output logic [31:0] address,
    output logic [SLOT_BITS-1:0] slot,
    input logic taken,
    input logic [CHANNELS-1:0] answer,
    input logic [CHANNELS-1:0][1:0] answer_master,
    input logic [CHANNELS-1:0][SLOT_BITS-1:0] answer_slot,
    input logic [CHANNELS-1:0][8*BURST-1:0] answer_data,
    // the scratchpad
    output logic index_read,
    output logic [23:0] index_address,
    input logic [63:0] index_data,
    output logic write,
    output logic [23:0] write_address,
    output logic [7:0] write_count,
    output logic [8*PORT-1:0] write_data
);
  localparam int SLOTS = 1 << SLOT_BITS;
  localparam int PENDING = 4;
  localparam int ROWS = 64;
  localparam logic [31:0] OFFSET = BURST - 1;

  // ---- asking -----------------------------------------------------------------------------------------------------
  typedef enum logic [1:0] {REST, INDEX_READ, INDEX_DATA, ASK} state_e;
  state_e state;
  copy_t asking;
  logic [15:0] i1, i2;
  logic [31:0] plane, row, at;  // where they begin in DRAM; the burst that is asked for
  logic last_known;
  logic [31:0] last_burst;

  logic [SLOT_BITS:0] used;
  logic [SLOT_BITS-1:0] head, tail;
  logic [31:0] burst_of[SLOTS];
  logic [8*BURST-1:0] data_of[SLOTS];
  logic [SLOTS-1:0] arrived;

  // rows of a gather, from the half that reads indices to the half that writes
  logic [31:0] row_of[ROWS];
  logic [5:0] row_head, row_tail;
  logic [6:0] row_count;

  copy_t pending[PENDING];
  logic [SEMAPHORES-1:0] pending_signals[PENDING];
  logic [1:0] pending_head, pending_tail;
  logic [2:0] pending_count;

  wire quiet = pending_count == 0;
  wire again = last_known && last_burst == at;
  wire [31:0] row_end = (row + 32'(asking.n0) - 1) & ~OFFSET;
  wire room = used < (SLOT_BITS + 1)'(SLOTS - 1);
  assign request = state == ASK && !again && room;
  assign address = at;
  assign slot = head;
  wire step = state == ASK && (again || taken);
  wire row_done = step && at == row_end;
  wire plane_done = row_done && i1 + 1 == asking.n1;
  wire all_asked = plane_done && i2 + 1 == asking.n2;
  assign ready = (state == REST || all_asked) && pending_count < PENDING - 1 && (!copy.gather || quiet);
  wire [63:0] chosen = asking.wide ? index_data : 64'(signed'(index_data[31:0]));
  assign index_read = state == INDEX_READ && row_count < ROWS - 1;
  assign index_address = asking.index + 24'(i1 << (asking.wide ? 3 : 2));

  wire [31:0] next_row = asking.gather ? 0 : i1 + 1 == asking.n1 ? plane + asking.s2 : row + asking.s1;
  wire [31:0] gathered = asking.dram + 32'(chosen) * asking.s1;

  always_ff @(posedge clk) begin
    if (reset) begin
      state <= REST;
      head <= 0;
      fault <= 0;
      row_head <= 0;
    end else begin
      if (step) begin
        last_known <= 1;
        last_burst <= at;
        at <= at + BURST;
        if (row_done) begin
          i1 <= plane_done ? 0 : i1 + 1;
          row <= next_row;
          at <= next_row & ~OFFSET;
          if (asking.gather) state <= INDEX_READ;
        end
        if (plane_done) begin
          i2 <= i2 + 1;
          plane <= next_row;
        end
        if (all_asked) state <= REST;
      end
      if (taken) head <= head + 1;
      if (index_read) state <= INDEX_DATA;
      if (state == INDEX_DATA) begin
        fault <= fault || chosen[63] || chosen >= 64'(asking.rows);
        row <= gathered;
        at <= gathered & ~OFFSET;
        row_of[row_head] <= gathered;
        row_head <= row_head + 1;
        state <= ASK;
      end
      if (start) begin
        asking <= copy;
        i1 <= 0;
        i2 <= 0;
        plane <= copy.dram;
        row <= copy.dram;
        at <= copy.dram & ~OFFSET;
        last_known <= 0;
        state <= copy.gather ? INDEX_READ : copy.n1 == 0 || copy.n2 == 0 ? REST : ASK;
      end
    end
  end

  for (genvar c = 0; c < CHANNELS; c++) begin : channel
    wire mine = answer[c] && answer_master[c] == 2'(MASTER);
    always_ff @(posedge clk) if (mine) data_of[answer_slot[c]] <= answer_data[c];
  end
  always_ff @(posedge clk) begin
    for (int c = 0; c < CHANNELS; c++) if (answer[c] && answer_master[c] == 2'(MASTER)) arrived[answer_slot[c]] <= 1;
    if (taken) begin
      arrived[head] <= 0;
      burst_of[head] <= at;
    end
  end

  // ---- writing ----------------------------------------------------------------------------------------------------
  logic [15:0] j1, j2;             // destination row and plane, padding counted
  logic [23:0] offset;             // in the row
  logic [31:0] from_plane, from;   // where the plane and the row begin in DRAM
  logic [23:0] to_plane, to;
  logic holding;                   // the slot at the tail is of this copy

  copy_t c;
  assign c = pending[pending_tail];
  wire working = pending_count != 0;
  wire [15:0] rows = 16'(c.before1) + c.n1 + 16'(c.after1);
  wire [15:0] planes = 16'(c.before2) + c.n2 + 16'(c.after2);
  wire outside = j1 < 16'(c.before1) || j1 >= 16'(c.before1) + c.n1 || j2 < 16'(c.before2) || j2 >= 16'(c.before2) + c.n2;
  wire padding = outside || c.n1 == 0 || c.n2 == 0;
  wire [31:0] source = (c.gather ? row_of[row_tail] : from) + 32'(offset);
  wire known = !c.gather || row_count != 0;
  wire [SLOT_BITS-1:0] use_slot = holding && burst_of[tail] != (source & ~OFFSET) ? tail + 1 : tail;
  wire there = known && (use_slot != head) && arrived[use_slot];
  wire [15:0] beat = timing.port_bytes - (padding ? 16'd0 : 16'(source) & (timing.port_bytes - 1));
  wire [23:0] length = j1 < 16'(c.before1) ? c.first : j1 >= 16'(c.before1) + c.n1 ? c.last : c.n0;
  wire [23:0] rest = length - offset;
  wire [23:0] count = rest < 24'(beat) ? rest : 24'(beat);
  wire moving = working && (padding || there);
  wire row_written = moving && rest == count;
  wire plane_written = row_written && j1 + 1 == rows;
  wire all_written = plane_written && j2 + 1 == planes;
  assign idle = state == REST && quiet && !done;

  logic [8*BURST-1:0] shifted;
  logic [8*PORT-1:0] filling;
  always_comb begin
    shifted = data_of[use_slot] >> (8 * (source & OFFSET));
    for (int i = 0; i < PORT; i++)
      case (c.fill_width)
        0: filling[8*i+:8] = c.fill[7:0];
        1: filling[8*i+:8] = c.fill[8*(i%2)+:8];
        default: filling[8*i+:8] = c.fill[8*(i%4)+:8];
      endcase
  end
  assign write = moving;
  assign write_address = to + 24'(offset);
  assign write_count = 8'(count);
  assign write_data = padding ? filling : shifted[8*PORT-1:0];

  wire gather_row = row_written && c.gather;
  wire let_go = moving && !padding && use_slot != tail;
  wire at_end = all_written && (holding || !padding);
  always_ff @(posedge clk) begin
    done <= all_written && !reset;
    signals <= pending_signals[pending_tail];
    if (start) begin
      pending[pending_head] <= copy;
      pending_signals[pending_head] <= masks.signals;
    end
    if (reset) begin
      pending_head <= 0;
      pending_tail <= 0;
      pending_count <= 0;
      tail <= 0;
      used <= 0;
      row_tail <= 0;
      row_count <= 0;
      j1 <= 0;
      j2 <= 0;
      offset <= 0;
      holding <= 0;
    end else begin
      if (start) pending_head <= pending_head + 1;
      if (all_written) pending_tail <= pending_tail + 1;
      pending_count <= pending_count + 3'(start) - 3'(all_written);
      row_count <= row_count + 7'(state == INDEX_DATA) - 7'(gather_row);
      if (gather_row) row_tail <= row_tail + 1;
      if (moving) begin
        offset <= row_written ? 0 : offset + count;
        if (!padding) holding <= 1;
        if (row_written) begin
          j1 <= plane_written ? 0 : j1 + 1;
          to <= plane_written ? to_plane + c.d2 : to + (c.joined ? length : c.d1);
          if (!padding) from <= from + c.s1;
        end
        if (plane_written) begin
          j2 <= j2 + 1;
          to_plane <= to_plane + c.d2;
          if (j2 >= 16'(c.before2)) begin
            from <= from_plane + c.s2;
            from_plane <= from_plane + c.s2;
          end
        end
        if (all_written) begin
          j2 <= 0;
          holding <= 0;
        end
      end
      tail <= tail + SLOT_BITS'(let_go) + SLOT_BITS'(at_end);
      used <= used + (SLOT_BITS + 1)'(taken) - (SLOT_BITS + 1)'(let_go) - (SLOT_BITS + 1)'(at_end);
      if (all_written ? pending_count > 1 : start && quiet) begin
        copy_t next;
        next = all_written ? pending[pending_tail+1] : copy;
        from <= next.dram;
        from_plane <= next.dram;
        to <= next.scratch;
        to_plane <= next.scratch;
      end else if (all_written && start) begin
        from <= copy.dram;
        from_plane <= copy.dram;
        to <= copy.scratch;
        to_plane <= copy.scratch;
      end
    end
  end
endmodule

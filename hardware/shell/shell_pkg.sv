// What the modules of the shell share with one another and with a chip: queues, memories, copies, vector instructions,
// timing figures. Where a family's instructions hold them stands in fields_pkg, which hardware/fields.py derives.
package shell_pkg;
  import fields_pkg::*;
  export fields_pkg::*;

  localparam int QUEUES = 5;
  localparam int SEMAPHORES = 16;
  typedef enum logic [2:0] {LOAD = 0, WEIGHTS = 1, PRODUCTS = 2, VECTORS = 3, STORE = 4, NONE = 5} queue_e;
  typedef enum logic [1:0] {FEATURES = 0, PACKED = 1, SUMS = 2, INDEX = 3} memory_e;
  localparam int MICROS = 32;

  // Figures of the chip file, in cycles, bytes and numbers.
  typedef struct packed {
    logic [15:0] issue_cycles, queue_depth;
    logic [15:0] latency, page_miss, refresh_every, refresh_for, outstanding, channels;
    logic [31:0] interleave, page;
    logic [15:0] burst_cycles;  // a burst on its channel
    logic [15:0] port_bytes;    // what a copy moves a cycle: all channels together
  } timing_t;

  typedef struct packed {
    logic [SEMAPHORES-1:0] waits, signals;
  } masks_t;

  // A copy between DRAM and a scratchpad; of a gather n1 is its count and s1 the pitch of its table.
  typedef struct packed {
    logic gather, wide;
    logic joined;              // rows lie end to end on both sides: they are one
    logic [23:0] n0;
    logic [23:0] first, last;  // bytes of a row of padding before and behind
    logic [31:0] dram;
    logic [23:0] scratch;
    logic [15:0] n1, n2;
    logic [31:0] s1, s2;
    logic [23:0] d1, d2, index;
    logic [7:0] before1, after1, before2, after2;
    logic [1:0] fill_width;
    logic [31:0] fill, rows;
  } copy_t;

  // An operand stream: a byte address, or a number in `INDEX`, and strides in elements.
  typedef struct packed {
    memory_e memory;
    dtype_e dtype;
    logic [31:0] base;
    logic table_;
    logic signed [4:0][22:0] stride;
  } view_t;

  typedef struct packed {
    logic [5:0] length;
    logic [MICROS-1:0][63:0] micros;
    logic [15:0][31:0] immediates;
  } program_t;

  // An instruction of the vector unit: it brings a program or names one, and defines it only or runs it.
  typedef struct packed {
    logic brings, defines;
    logic [3:0] number;
    program_t program_;
    logic [3:0] streams;
    logic [1:0] combine;
    logic initialise;
    logic [4:0][15:0] extent;
    view_t [7:0] views;
  } work_t;

  // Elements of one vector in a memory, from a byte address on: `count` of a line, `stride` apart, of `lines` lines that
  // are `line_stride` apart; strides in elements.
  typedef struct packed {
    logic valid, side_by_side;
    memory_e memory;
    dtype_e dtype;
    logic [31:0] address;
    logic signed [22:0] stride, line_stride;
    logic [7:0] count, lines;
  } elements_t;

  function automatic int bytes_of(input dtype_e dtype);
    case (dtype)
      I8, U8: return 1;
      I16, BF16: return 2;
      I64: return 8;
      default: return 4;
    endcase
  endfunction

  // A copy with what its fields leave open filled in, and rows that are one joined.
  function automatic copy_t whole_copy(input copy_t given);
    copy_t c = given;
    logic [23:0] rows = 24'(c.before1) + 24'(c.n1) + 24'(c.after1);
    if (c.d1 == 0) c.d1 = c.n0;
    if (c.d2 == 0) c.d2 = rows * c.d1;
    c.first = c.n0;
    c.last = c.n0;
    c.joined = !c.gather && c.d1 == c.n0 && (c.n1 <= 1 || c.s1 == 32'(c.n0)) && (c.n0 & ((24'd1 << c.fill_width) - 1)) == 0;
    if (c.joined) begin
      c.first = 24'(c.before1) * c.n0;
      c.last = 24'(c.after1) * c.n0;
      c.n0 = 24'(c.n1) * c.n0;
      c.before1 = 8'(c.before1 != 0);
      c.n1 = 16'(c.n1 != 0);
      c.after1 = 8'(c.after1 != 0);
    end
    return c;
  endfunction

  function automatic view_t view_of(input view_fields_t x);
    view_t v;
    v.memory = memory_e'(x.memory);
    v.dtype = x.dtype;
    v.base = v.memory == INDEX ? 32'(signed'(x.base)) : 32'(x.base);
    v.table_ = x.table_;
    v.stride = {23'(x.s4), 23'(x.s3), 23'(x.s2), 23'(x.s1), 23'(x.s0)};
    return v;
  endfunction

endpackage

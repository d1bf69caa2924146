// What the modules of n1 share: queues, memories, the fields of copies and products, timing figures.
// Bit positions are those of docs/n1.md.
package n1_pkg;

  localparam int QUEUES = 5;
  localparam int SEMAPHORES = 16;
  localparam int LONGEST = 21;  // words of the longest instruction that is queued: a program with all its lists
  typedef enum logic [2:0] {LDA = 0, LDW = 1, MXU = 2, VEC = 3, STO = 4, NONE = 5} queue_e;
  typedef enum logic [1:0] {SPA = 0, SPW = 1, ACC = 2, INDEX = 3} memory_e;
  typedef enum logic [2:0] {I8 = 0, U8 = 1, I16 = 2, I32 = 3, BF16 = 4, F32 = 5, I64 = 6} dtype_e;

  localparam logic [5:0] OP_HALT = 0, OP_LOOP = 1, OP_BARRIER = 2, OP_LDA = 4, OP_GATHER = 5, OP_LDW = 6, OP_STO = 7,
      OP_MXU = 8, OP_PROGRAM = 9, OP_VEC = 10;

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

  // lda, ldw, sto, with rows that are one joined; of a gather n1 is its count and s1 the pitch of its table.
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

  typedef struct packed {
    logic accumulate;
    logic [1:0] mapping;
    logic [15:0] m0, m1, n, k0, pitch;
    logic [23:0] a, w, am0, am1, ak1, ak2;
    logic [19:0] c;
    logic [5:0] k1, k2;
  } product_t;

  // An operand stream of vec, its strides in elements.
  typedef struct packed {
    memory_e memory;
    dtype_e dtype;
    logic [23:0] base;
    logic table_;
    logic signed [4:0][22:0] stride;
  } view_t;

  // Elements of one vector in a memory: `count` of them from a byte address on, `stride` elements apart.
  typedef struct packed {
    logic valid;
    memory_e memory;
    dtype_e dtype;
    logic [31:0] address;
    logic signed [22:0] stride;
    logic [7:0] count;
  } elements_t;

  function automatic copy_t copy_of(input logic [5:0] opcode, input logic [383:0] x);
    copy_t c = '0;
    logic [23:0] rows;
    c.n0 = x[63:44];
    c.dram = x[95:64];
    c.scratch = x[119:96];
    c.n1 = x[143:128];
    if (opcode == OP_GATHER) begin
      c.gather = 1;
      c.wide = x[120];
      c.n2 = 1;
      c.index = x[167:144];
      c.d1 = x[191:168];
      c.s1 = x[223:192];
      c.rows = x[255:224];
    end else begin
      c.fill_width = x[121:120];
      c.n2 = x[159:144];
      c.s1 = x[191:160];
      c.s2 = x[223:192];
      c.d1 = x[247:224];
      c.before1 = x[255:248];
      c.d2 = x[279:256];
      c.after1 = x[287:280];
      c.before2 = x[295:288];
      c.after2 = x[303:296];
      c.fill = x[351:320];
    end
    if (c.d1 == 0) c.d1 = c.n0;
    rows = 24'(c.before1) + 24'(c.n1) + 24'(c.after1);
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

  function automatic product_t product_of(input logic [383:0] x);
    product_t p;
    p.accumulate = x[45];
    p.mapping = x[47:46];
    p.m0 = x[63:48];
    p.a = x[87:64];
    p.w = x[111:88];
    p.n = x[127:112];
    p.c = x[147:128];
    p.k0 = x[163:148];
    p.pitch = x[179:164] != 0 ? x[179:164] : x[127:112];
    p.k1 = x[185:180];
    p.k2 = x[191:186];
    p.am0 = x[215:192];
    p.am1 = x[239:216];
    p.m1 = x[255:240];
    p.ak1 = x[279:256];
    p.ak2 = x[303:280];
    return p;
  endfunction

  function automatic view_t view_of(input logic [127:0] x);
    view_t v;
    v.memory = memory_e'(x[1:0]);
    v.dtype = dtype_e'(x[4:2]);
    v.base = x[28:5];
    v.table_ = x[29];
    v.stride[0] = 23'(signed'(x[46:30]));
    v.stride[1] = 23'(signed'(x[63:47]));
    v.stride[2] = 23'(signed'(x[83:64]));
    v.stride[3] = 23'(signed'(x[105:84]));
    v.stride[4] = 23'(signed'(x[127:106]));
    return v;
  endfunction

  // Words that an instruction does not store hold these.
  function automatic logic [2:0][127:0] defaults(input logic [5:0] opcode);
    logic [383:0] x = '0;
    case (opcode)
      OP_LDA, OP_LDW, OP_STO: begin
        x[143:128] = 1;
        x[159:144] = 1;
      end
      OP_MXU: begin
        x[185:180] = 1;
        x[191:186] = 1;
        x[255:240] = 1;
      end
      default: ;
    endcase
    return x;
  endfunction

  function automatic queue_e queue_of(input logic [5:0] opcode);
    case (opcode)
      OP_LDA, OP_GATHER: return LDA;
      OP_LDW: return LDW;
      OP_MXU: return MXU;
      OP_PROGRAM, OP_VEC: return VEC;
      OP_STO: return STO;
      default: return NONE;
    endcase
  endfunction

  function automatic int bytes_of(input dtype_e dtype);
    case (dtype)
      I8, U8: return 1;
      I16, BF16: return 2;
      I64: return 8;
      default: return 4;
    endcase
  endfunction

endpackage

// The instructions of n1, with the bit positions of docs/n1.md.
package isa_pkg;
  import shell_pkg::*;

  localparam int LONGEST = 21;    // words of the longest instruction that is queued: a program with all its lists
  localparam int SUM_UNIT = 4;    // bytes of a unit of addresses of sums
  localparam logic [5:0] OP_LDA = 4, OP_GATHER = 5, OP_LDW = 6, OP_STO = 7, OP_MXU = 8, OP_PROGRAM = 9, OP_VEC = 10;
  typedef logic [LONGEST-1:0][127:0] words_t;

  typedef enum logic [5:0] {
    COPY, CAST, ADD, SUB, MUL, MAC, MAX, MIN, NEG, ABS, BIT_AND, BIT_OR, BIT_XOR, SHIFT_LEFT, SHIFT_RIGHT, LT, LE, EQ,
    WHERE, REQUANTIZE, RESCALE, SCALED, LOOKUP, DIV, ISQRT, SQRT, RSQRT, EXP, TANH, ERF, FLOOR, ROUND
  } operation_e;

  typedef struct packed {
    logic accumulate;
    logic [1:0] mapping;
    logic [15:0] m0, m1, n, k0, pitch;
    logic [23:0] a, w, am0, am1, ak1, ak2;
    logic [19:0] c;
    logic [5:0] k1, k2;
  } product_t;

  // What the matrix unit touches a cycle: bytes of weights, places of so many activations each, rows of sums.
  function automatic int weights_a_cycle(input int rows, input int cols);
    return cols;
  endfunction
  function automatic int places_a_cycle(input int rows, input int pixels);
    return rows;
  endfunction
  function automatic int place_bytes(input int rows);
    return 1;
  endfunction

  function automatic queue_e queue_of(input logic [5:0] opcode);
    case (opcode)
      OP_LDA, OP_GATHER: return LOAD;
      OP_LDW: return WEIGHTS;
      OP_MXU: return PRODUCTS;
      OP_PROGRAM, OP_VEC: return VECTORS;
      OP_STO: return STORE;
      default: return NONE;
    endcase
  endfunction

  function automatic logic has_lists(input logic [5:0] opcode);
    return opcode == OP_PROGRAM || opcode == OP_VEC;
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

  // An instruction after `turns` turns of its loop. `steps`: its last word, of one without lists.
  function automatic words_t advanced(input logic [31:0][127:0] line, input logic [127:0] steps, input logic [19:0] turns);
    words_t x = line[LONGEST-1:0];
    logic [3:0][31:0] by;
    for (int n = 0; n < 4; n++) by[n] = steps[32*n+:32] * 32'(turns);
    case (line[0][5:0])
      OP_LDA, OP_LDW, OP_STO: begin
        x[0][95:64] += by[0];
        x[0][119:96] += 24'(by[1]);
      end
      OP_GATHER: begin
        x[0][119:96] += 24'(by[0]);
        x[1][39:16] += 24'(by[1]);
      end
      OP_MXU: begin
        x[0][87:64] += 24'(by[0]);
        x[0][111:88] += 24'(by[1]);
        x[1][19:0] += 20'(by[2]);
      end
      OP_VEC:
      for (int s = 0; s < 8; s++)
        if (4'(s) < line[0][47:44])
          x[1+s][28:5] += 24'(line[5'(1+32'(line[0][47:44])+s/4)][32*(s%4)+:32] * 32'(turns));
      default: ;
    endcase
    return x;
  endfunction

  function automatic copy_t copy_of(input logic [5:0] opcode, input logic [383:0] x);
    copy_t c = '0;
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
    return whole_copy(c);
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

  function automatic work_t work_of(input words_t x);
    work_t v = '0;
    logic [2*LONGEST-1:0][63:0] lanes = x;
    v.defines = x[0][5:0] == OP_PROGRAM;
    v.brings = v.defines;
    v.number = v.defines ? lanes[0][58:55] : x[0][51:48];
    v.program_.immediates = {lanes[9], lanes[8], lanes[7], lanes[6], lanes[5], lanes[4], lanes[3], lanes[2]};
    v.program_.micros = 2048'(lanes >> (64 * (6'd2 + (6'(lanes[0][48:44]) + 6'd1) / 6'd2)));
    v.program_.length = lanes[0][54:49];
    v.streams = x[0][47:44];
    v.combine = x[0][53:52];
    v.initialise = x[0][54];
    v.extent = {16'(x[0][63:55]), x[0][127:112], x[0][111:96], x[0][95:80], x[0][79:64]};
    for (int s = 0; s < 8; s++) begin
      v.views[s] = view_of(x[1+s]);
      if (v.views[s].memory == SUMS) v.views[s].base = v.views[s].base * SUM_UNIT;
    end
    return v;
  endfunction

endpackage

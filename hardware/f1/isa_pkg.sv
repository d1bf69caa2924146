// The instructions of f1, with the bit positions of docs/f1.md.
package isa_pkg;
  import shell_pkg::*;

  localparam int LONGEST = 28;    // words of the longest instruction: elementwise with all its lists, and their steps
  localparam int SUM_UNIT = 1;    // bytes of a unit of addresses of sums
  localparam logic [5:0] OP_LOAD = 4, OP_WEIGHTS = 5, OP_SAVE = 6, OP_CONV = 7, OP_DEPTHWISE = 8, OP_POOL = 9,
      OP_ELEMENTWISE = 10;
  typedef logic [LONGEST-1:0][127:0] words_t;

  // Those from SQRT on are not in f1: the shell names them.
  typedef enum logic [5:0] {
    COPY, CAST, NEG, ABS, ADD, SUB, MUL, MAC, MAX, MIN, BIT_AND, BIT_OR, BIT_XOR, SHIFT_LEFT, SHIFT_RIGHT, LT, LE, EQ,
    WHERE, REQUANTIZE, RESCALE, SCALED, LOOKUP, DIV, ISQRT, SQRT, RSQRT, EXP, TANH, ERF, FLOOR, ROUND
  } operation_e;

  typedef struct packed {
    logic accumulate;
    logic [15:0] m0, m1, n, k0;
    logic [17:0] pitch;
    logic [23:0] a, w, c;
    logic [21:0] am0, am1, ak1, ak2;
    logic [5:0] k1, k2;
  } product_t;

  // What the array touches a cycle: bytes of weights, places of so many activations each.
  function automatic int weights_a_cycle(input int rows, input int cols);
    return rows * cols;
  endfunction
  function automatic int places_a_cycle(input int rows, input int pixels);
    return pixels;
  endfunction
  function automatic int place_bytes(input int rows);
    return rows;
  endfunction

  function automatic queue_e queue_of(input logic [5:0] opcode);
    case (opcode)
      OP_LOAD: return LOAD;
      OP_WEIGHTS: return WEIGHTS;
      OP_CONV: return PRODUCTS;
      OP_DEPTHWISE, OP_POOL, OP_ELEMENTWISE: return VECTORS;
      OP_SAVE: return STORE;
      default: return NONE;
    endcase
  endfunction

  function automatic logic has_lists(input logic [5:0] opcode);
    return opcode == OP_DEPTHWISE || opcode == OP_POOL || opcode == OP_ELEMENTWISE;
  endfunction

  // Words that an instruction does not store hold these.
  function automatic logic [2:0][127:0] defaults(input logic [5:0] opcode);
    logic [383:0] x = '0;
    case (opcode)
      OP_LOAD, OP_WEIGHTS, OP_SAVE: begin
        x[143:128] = 1;
        x[155:144] = 1;
      end
      OP_CONV: begin
        x[173:168] = 1;
        x[179:174] = 1;
        x[207:192] = 1;
      end
      default: ;
    endcase
    return x;
  endfunction

  // Lanes of 64 bits in front of what an elementwise instruction's lists hold.
  function automatic logic [5:0] immediates_at(input logic [127:0] x);
    return 6'd4 + 6'd2 * 6'(x[47:44]);
  endfunction
  function automatic logic [5:0] micros_at(input logic [127:0] x);
    return immediates_at(x) + (6'(x[52:48]) + 6'd1) / 6'd2;
  endfunction

  // An instruction after `turns` turns of its loop. `steps`: its last word, of one without lists.
  function automatic words_t advanced(input logic [31:0][127:0] line, input logic [127:0] steps, input logic [19:0] turns);
    words_t x = line[LONGEST-1:0];
    logic [63:0][63:0] lanes = line;
    logic elementwise = line[0][5:0] == OP_ELEMENTWISE;
    logic [5:0] first = elementwise ? micros_at(line[0]) + 6'(line[0][57:53]) : 6'd2 + 6'd2 * 6'(line[0][47:44]);
    logic [3:0][31:0] by;
    for (int n = 0; n < 4; n++) by[n] = steps[32*n+:32] * 32'(turns);
    case (line[0][5:0])
      OP_LOAD, OP_WEIGHTS, OP_SAVE: begin
        x[0][95:64] += by[0];
        x[0][119:96] += 24'(by[1]);
      end
      OP_CONV: begin
        x[0][87:64] += 24'(by[0]);
        x[0][111:88] += 24'(by[1]);
        x[1][23:0] += 24'(by[2]);
      end
      default:
      for (int s = 0; s < 8; s++)
        if (4'(s) < line[0][47:44])
          x[(elementwise?2:1)+s][28:5] += 24'(lanes[first+6'(s/2)][32*(s%2)+:32] * 32'(turns));
    endcase
    return x;
  endfunction

  function automatic copy_t copy_of(input logic [5:0] opcode, input logic [383:0] x);
    copy_t c = '0;
    c.n0 = x[63:44];
    c.dram = x[95:64];
    c.scratch = x[119:96];
    c.n1 = x[143:128];
    c.n2 = x[155:144];
    c.s1 = x[183:156];
    c.d1 = x[211:192];
    c.s2 = x[239:212];
    c.d2 = x[275:256];
    if (opcode == OP_LOAD) begin
      c.before1 = x[127:120];
      c.after1 = x[191:184];
      c.before2 = x[247:240];
      c.after2 = x[255:248];
      c.fill = x[283:276];
    end
    return whole_copy(c);
  endfunction

  function automatic product_t product_of(input logic [383:0] x);
    product_t p;
    p.accumulate = x[44];
    p.m0 = x[60:45];
    p.a = x[87:64];
    p.w = x[111:88];
    p.n = x[127:112];
    p.c = x[151:128];
    p.k0 = x[167:152];
    p.k1 = x[173:168];
    p.k2 = x[179:174];
    p.m1 = x[207:192];
    p.am0 = x[229:208];
    p.am1 = x[251:230];
    p.ak1 = x[277:256];
    p.ak2 = x[299:278];
    p.pitch = x[317:300];
    return p;
  endfunction

  // A depthwise instruction is the program stream 1 * stream 2, summed; pooling takes stream 1 as it is.
  function automatic work_t work_of(input words_t x);
    work_t v = '0;
    logic [2*LONGEST-1:0][63:0] lanes = x;
    logic [63:0] micro = '0;
    v.brings = 1;
    v.streams = x[0][47:44];
    if (x[0][5:0] == OP_ELEMENTWISE) begin
      for (int n = 0; n < 16; n++) v.program_.immediates[n] = lanes[immediates_at(x[0])+6'(n/2)][32*(n%2)+:32];
      for (int n = 0; n < 24; n++) v.program_.micros[n] = lanes[micros_at(x[0])+6'(n)];
      v.program_.length = 6'(x[0][57:53]);
      v.initialise = x[0][58];
      v.combine = x[0][60:59];
      v.extent = {16'(x[1][8:0]), x[0][127:112], x[0][111:96], x[0][95:80], x[0][79:64]};
      for (int s = 0; s < 8; s++) v.views[s] = view_of(x[2+s]);
    end else begin
      micro[5:0] = x[0][5:0] == OP_DEPTHWISE ? MUL : COPY;
      micro[20:15] = {4'd1, 2'd2};
      if (x[0][5:0] == OP_DEPTHWISE) micro[26:21] = {4'd2, 2'd2};
      v.program_.micros[0] = micro;
      v.program_.length = 1;
      v.initialise = x[0][121];
      v.combine = x[0][5:0] == OP_DEPTHWISE ? 2'd1 : x[0][123:122];
      v.extent = {16'(x[0][120:112]), x[0][111:96], x[0][95:80], x[0][79:64], x[0][63:48]};
      for (int s = 0; s < 8; s++) v.views[s] = view_of(x[1+s]);
    end
    return v;
  endfunction

endpackage

// What n1's instructions ask of the shell and of the array; their fields stand in fields_pkg.
package isa_pkg;
  import shell_pkg::*;

  localparam int SUM_UNIT = 4;    // bytes of a unit of addresses of sums

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

  // ldw and sto have the fields that lda has where lda has them, and no padding.
  function automatic copy_t copy_of(input logic [5:0] opcode, input logic [383:0] x);
    copy_t c = '0;
    lda_fields_t f = x;
    gather_fields_t g = gather_fields_t'(x);
    c.n0 = f.n0;
    c.dram = f.dram;
    c.scratch = f.spa;
    if (opcode == OP_GATHER) begin
      c.gather = 1;
      c.wide = g.width;
      c.n1 = g.count;
      c.n2 = 1;
      c.index = g.index;
      c.d1 = g.d1;
      c.s1 = g.pitch;
      c.rows = g.rows;
    end else begin
      c.fill_width = f.fill_width;
      c.n1 = f.n1;
      c.n2 = f.n2;
      c.s1 = f.s1;
      c.s2 = f.s2;
      c.d1 = f.d1;
      c.d2 = f.d2;
      c.before1 = f.before1;
      c.after1 = f.after1;
      c.before2 = f.before2;
      c.after2 = f.after2;
      c.fill = f.fill;
    end
    return whole_copy(c);
  endfunction

  function automatic product_t product_of(input logic [383:0] x);
    product_t p;
    mxu_fields_t f = x;
    p.accumulate = f.accumulate;
    p.mapping = f.mapping;
    p.m0 = f.m0;
    p.m1 = f.m1;
    p.n = f.n;
    p.k0 = f.k0;
    p.k1 = f.k1;
    p.k2 = f.k2;
    p.pitch = f.pitch != 0 ? f.pitch : f.n;
    p.a = f.a;
    p.w = f.w;
    p.c = f.c;
    p.am0 = f.am0;
    p.am1 = f.am1;
    p.ak1 = f.ak1;
    p.ak2 = f.ak2;
    return p;
  endfunction

  function automatic work_t work_of(input words_t x);
    work_t v = '0;
    logic [2*LONGEST-1:0][63:0] lanes = x;
    vec_fields_t f = x[0];
    program_fields_t p = x[0];
    v.defines = f.header.opcode == OP_PROGRAM;
    v.brings = v.defines;
    v.number = v.defines ? p.number : f.number;
    for (int n = 0; n < 16; n++) v.program_.immediates[n] = lanes[program_immediates_at(p)+6'(n/2)][32*(n%2)+:32];
    for (int n = 0; n < MICROS; n++) v.program_.micros[n] = lanes[program_micros_at(p)+6'(n)];
    v.program_.length = p.micros_count;
    v.streams = f.streams_count;
    v.combine = f.combine;
    v.initialise = f.initialise;
    v.extent = {16'(f.n4), f.n3, f.n2, f.n1, f.n0};
    for (int s = 0; s < 8; s++) begin
      v.views[s] = view_of(view_fields_t'(x[vec_streams_at(f)/2+s]));
      if (v.views[s].memory == SUMS) v.views[s].base = v.views[s].base * SUM_UNIT;
    end
    return v;
  endfunction

endpackage

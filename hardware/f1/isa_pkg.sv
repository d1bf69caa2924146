// What f1's instructions ask of the shell and of the array; their fields stand in fields_pkg.
package isa_pkg;
  import shell_pkg::*;

  localparam int SUM_UNIT = 1;    // bytes of a unit of addresses of sums

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

  // weights and save have the fields that load has where load has them, and no padding.
  function automatic copy_t copy_of(input logic [5:0] opcode, input logic [383:0] x);
    copy_t c = '0;
    load_fields_t f = x;
    c.n0 = f.n0;
    c.n1 = f.n1;
    c.n2 = f.n2;
    c.dram = f.dram;
    c.scratch = f.near_;
    c.s1 = f.s1;
    c.s2 = f.s2;
    c.d1 = f.d1;
    c.d2 = f.d2;
    if (opcode == OP_LOAD) begin
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
    conv_fields_t f = x;
    p.accumulate = f.accumulate;
    p.m0 = f.m0;
    p.m1 = f.m1;
    p.n = f.n;
    p.k0 = f.k0;
    p.k1 = f.k1;
    p.k2 = f.k2;
    p.pitch = f.pitch;
    p.a = f.a;
    p.w = f.w;
    p.c = f.c;
    p.am0 = f.am0;
    p.am1 = f.am1;
    p.ak1 = f.ak1;
    p.ak2 = f.ak2;
    return p;
  endfunction

  // A depthwise instruction is the program stream 1 * stream 2, summed; pooling takes stream 1 as it is.
  function automatic work_t work_of(input words_t x);
    work_t v = '0;
    logic [2*LONGEST-1:0][63:0] lanes = x;
    elementwise_fields_t e = x[1:0];
    depthwise_fields_t d = x[0];
    pool_fields_t p = x[0];
    logic elementwise = e.header.opcode == OP_ELEMENTWISE;
    logic multiplies = e.header.opcode == OP_DEPTHWISE;
    micro_fields_t only = '0;
    logic [5:0] first;  // word of the views
    v.brings = 1;
    v.streams = d.streams_count;  // which all have at the same place
    if (elementwise) begin
      for (int n = 0; n < 16; n++) v.program_.immediates[n] = lanes[elementwise_immediates_at(e)+6'(n/2)][32*(n%2)+:32];
      for (int n = 0; n < 24; n++) v.program_.micros[n] = lanes[elementwise_micros_at(e)+6'(n)];
      v.program_.length = 6'(e.micros_count);
      v.initialise = e.initialise;
      v.combine = e.combine;
      v.extent = {16'(e.n4), e.n3, e.n2, e.n1, e.n0};
    end else begin
      only.op = multiplies ? MUL : COPY;
      only.a_from = FROM_STREAM;
      only.a = 1;
      only.b_from = multiplies ? FROM_STREAM : FROM_NONE;
      only.b = 2;
      v.program_.micros[0] = only;
      v.program_.length = 1;
      v.initialise = d.initialise;
      v.combine = multiplies ? COMBINE_SUM : p.combine;
      v.extent = {16'(d.n4), d.n3, d.n2, d.n1, d.n0};
    end
    first = (elementwise ? elementwise_streams_at(e) : depthwise_streams_at(d)) / 2;
    for (int s = 0; s < 8; s++) v.views[s] = view_of(view_fields_t'(x[first+s]));
    return v;
  endfunction

endpackage

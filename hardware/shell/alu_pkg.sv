// What vector programs compute, a lane at a time. Values are 64 bits: i32 extended by its sign, f32 as its bits.
// Integers are synthesisable; f32 is for simulation only and computed by the harness.
package alu_pkg;
  import shell_pkg::*;
  import isa_pkg::*;
  import "DPI-C" function int real_operation(input int operation, input int a, input int b, input int c);
  import "DPI-C" function longint real_to_integer(input int a);
  import "DPI-C" function int integer_to_real(input longint a);

  typedef micro_fields_t micro_t;

  function automatic logic signed [63:0] limited(input logic signed [63:0] x, input dtype_e to);
    case (to)
      I8: return x < -128 ? -128 : x > 127 ? 127 : x;
      U8: return x < 0 ? 0 : x > 255 ? 255 : x;
      I16: return x < -32768 ? -32768 : x > 32767 ? 32767 : x;
      default: return x < -64'sd2147483648 ? -64'sd2147483648 : x > 64'sd2147483647 ? 64'sd2147483647 : x;
    endcase
  endfunction

  function automatic logic [31:0] rounded_bf16(input logic [31:0] x);
    logic [31:0] sum = x + 32'h7fff + 32'(x[16]);
    return x[30:0] > 31'h7f800000 ? {x[31:16] | 16'h0040, 16'd0} : {sum[31:16], 16'd0};
  endfunction

  function automatic logic signed [63:0] cast(input logic signed [63:0] x, input logic [1:0] kind, input dtype_e to);
    logic signed [63:0] whole = kind == TYPE_F32 ? real_to_integer(x[31:0]) : x;
    case (to)
      F32: return kind == TYPE_F32 ? x : 64'(integer_to_real(x));
      BF16: return 64'(rounded_bf16(kind == TYPE_F32 ? x[31:0] : integer_to_real(x)));
      I64: return whole;
      I32: return 64'(signed'(whole[31:0]));
      default: return limited(whole, to);
    endcase
  endfunction

  function automatic logic signed [63:0] root(input logic signed [63:0] x);
    logic [63:0] found = 0, tried;
    for (int bit_ = 31; bit_ >= 0; bit_--) begin
      tried = found | 64'd1 << bit_;
      if (x > 0 && tried * tried <= 64'(x)) found = tried;
    end
    return found;
  endfunction

  function automatic logic signed [63:0] shifted(input logic signed [63:0] x, input logic signed [63:0] by,
                                                 input int bits, input logic left);
    logic outside = by < 0 || by >= 64'(bits);
    if (left) return outside ? 0 : x << by[5:0];
    return x >>> (outside ? 6'(bits - 1) : by[5:0]);
  endfunction

  function automatic logic signed [63:0] whole(input operation_e op, input logic wide, input logic signed [63:0] a, b, c);
    case (op)
      COPY, ROUND: return a;
      ADD: return a + b;
      SUB: return a - b;
      MUL: return a * b;
      MAC: return a * b + c;
      MAX: return a > b ? a : b;
      MIN: return a < b ? a : b;
      NEG: return -a;
      ABS: return a < 0 ? -a : a;
      BIT_AND: return a & b;
      BIT_OR: return a | b;
      BIT_XOR: return a ^ b;
      SHIFT_LEFT: return shifted(a, b, wide ? 64 : 32, 1);
      SHIFT_RIGHT: return shifted(a, b, wide ? 64 : 32, 0);
      LT: return 64'(a < b);
      LE: return 64'(a <= b);
      EQ: return 64'(a == b);
      DIV: return b == 0 ? 0 : b == -1 ? -a : a / b;
      ISQRT: return root(a);
      SCALED: return (a * b) >>> c[5:0];
      default: return 0;
    endcase
  endfunction

  function automatic logic [63:0] compute(input micro_t m, input logic signed [63:0] a, b, c, d, e);
    logic signed [63:0] sum = m.op == RESCALE ? 64'(signed'(32'(a) + 32'(e))) : a;
    logic signed [63:0] x;
    case (m.op)
      CAST: return cast(a, m.type_, m.to);
      WHERE: return a[31:0] != 0 ? b : c;
      REQUANTIZE, RESCALE: return limited(((sum * b + (64'sd1 << (c[5:0] - 6'd1))) >>> c[5:0]) + d, m.to);
      default: ;
    endcase
    if (m.type_ == TYPE_F32 && m.op != COPY) return 64'(signed'(real_operation(32'(m.op), a[31:0], b[31:0], c[31:0])));
    x = whole(m.op, m.type_ == TYPE_I64, a, b, c);
    return m.type_ == TYPE_I64 ? x : 64'(signed'(x[31:0]));
  endfunction

  // Two results in one.
  function automatic logic [63:0] combined(input logic [1:0] how, input logic [1:0] kind,
                                           input logic signed [63:0] a, b);
    micro_t m = '0;
    m.op = how == COMBINE_SUM ? ADD : how == COMBINE_MAX ? MAX : MIN;
    m.type_ = kind;
    return compute(m, a, b, 0, 0, 0);
  endfunction
endpackage

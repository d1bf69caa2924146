"""Exact remainders: fmod and mod of floats, and angles beyond the reach of floats reduced by multiples of pi/2.

Both are integer arithmetic on one element at a time, functions of their own in the module, called lane by lane.
"""

from ...compiler.ir.types import f64, i64
from .coefficients import TWO_OVER_PI
from .lanes import Lanes, choose
from .literals import vector_type

# The significands' remainder, 11 bits of the exponents' difference at a time; every value is exact.
_FMOD = """
define internal double @isthmus_fmod(double %x, double %y) #0 {
entry:
  %xb = bitcast double %x to i64
  %yb = bitcast double %y to i64
  %xm = and i64 %xb, 9223372036854775807
  %ym = and i64 %yb, 9223372036854775807
  %x.unusable = icmp uge i64 %xm, 9218868437227405312
  %y.nan = icmp ugt i64 %ym, 9218868437227405312
  %y.zero = icmp eq i64 %ym, 0
  %n1 = or i1 %x.unusable, %y.nan
  %n2 = or i1 %n1, %y.zero
  br i1 %n2, label %nan, label %compare
nan:
  ret double 0x7FF8000000000000
compare:
  %below = icmp ult i64 %xm, %ym
  br i1 %below, label %same, label %start
same:
  ret double %x
start:
  %xe = call i64 @isthmus_exponent(i64 %xm)
  %ye = call i64 @isthmus_exponent(i64 %ym)
  %xs = call i64 @isthmus_significand(i64 %xm)
  %ys = call i64 @isthmus_significand(i64 %ym)
  %r0 = urem i64 %xs, %ys
  %left0 = sub i64 %xe, %ye
  br label %turn
turn:
  %r = phi i64 [ %r0, %start ], [ %rn, %more ]
  %left = phi i64 [ %left0, %start ], [ %leftn, %more ]
  %done = icmp eq i64 %left, 0
  br i1 %done, label %finish, label %more
more:
  %k = call i64 @llvm.umin.i64(i64 %left, i64 11)
  %shifted = shl i64 %r, %k
  %rn = urem i64 %shifted, %ys
  %leftn = sub i64 %left, %k
  br label %turn
finish:
  %e = sub i64 %ye, 1075
  %e1 = ashr i64 %e, 1
  %e2 = sub i64 %e, %e1
  %b1 = add i64 %e1, 1023
  %b2 = add i64 %e2, 1023
  %p1 = shl i64 %b1, 52
  %p2 = shl i64 %b2, 52
  %f1 = bitcast i64 %p1 to double
  %f2 = bitcast i64 %p2 to double
  %whole = sitofp i64 %r to double
  %scaled = fmul double %whole, %f1
  %size = fmul double %scaled, %f2
  %result = call double @llvm.copysign.f64(double %size, double %x)
  ret double %result
}
define internal i64 @isthmus_exponent(i64 %bits) #0 {
  %biased = lshr i64 %bits, 52
  %denormal = icmp eq i64 %biased, 0
  %e = select i1 %denormal, i64 1, i64 %biased
  ret i64 %e
}
define internal i64 @isthmus_significand(i64 %bits) #0 {
  %biased = lshr i64 %bits, 52
  %denormal = icmp eq i64 %biased, 0
  %fraction = and i64 %bits, 4503599627370495
  %whole = or i64 %fraction, 4503599627370496
  %s = select i1 %denormal, i64 %fraction, i64 %whole
  ret i64 %s
}
"""

# Payne and Hanek: those 192 bits of 2/pi that matter for the exponent, times the significand, modulo 4. The fraction
# is a signed number of 128 bits; its leading 64 times pi gives the angle in two parts.
_ANGLE = """
define internal {{ double, double, i64 }} @isthmus_angle(double %x) #0 {{
  %bits = bitcast double %x to i64
  %biased = lshr i64 %bits, 52
  %fraction = and i64 %bits, 4503599627370495
  %m = or i64 %fraction, 4503599627370496
  %first = sub i64 %biased, {bias}
  %word = lshr i64 %first, 6
  %by = and i64 %first, 63
  %at0 = getelementptr i64, ptr @isthmus_two_over_pi, i64 %word
  %at1 = getelementptr i64, ptr %at0, i64 1
  %at2 = getelementptr i64, ptr %at0, i64 2
  %at3 = getelementptr i64, ptr %at0, i64 3
  %t0 = load i64, ptr %at0
  %t1 = load i64, ptr %at1
  %t2 = load i64, ptr %at2
  %t3 = load i64, ptr %at3
  %w0 = call i64 @llvm.fshl.i64(i64 %t0, i64 %t1, i64 %by)
  %w1 = call i64 @llvm.fshl.i64(i64 %t1, i64 %t2, i64 %by)
  %w2 = call i64 @llvm.fshl.i64(i64 %t2, i64 %t3, i64 %by)
  %mw = zext i64 %m to i128
  %v0 = zext i64 %w0 to i128
  %v1 = zext i64 %w1 to i128
  %v2 = zext i64 %w2 to i128
  %p0 = mul i128 %mw, %v0
  %p1 = mul i128 %mw, %v1
  %p2 = mul i128 %mw, %v2
  %q0 = shl i128 %p0, 64
  %q2 = lshr i128 %p2, 64
  %s1 = add i128 %q0, %p1
  %turn = add i128 %s1, %q2
  %top = lshr i128 %turn, 64
  %high = trunc i128 %top to i64
  %rounded = add i64 %high, {half}
  %turns = lshr i64 %rounded, 62
  %whole = shl i64 %turns, 62
  %wide = zext i64 %whole to i128
  %back = shl i128 %wide, 64
  %signed = sub i128 %turn, %back
  %negative = icmp slt i128 %signed, 0
  %minus = sub i128 0, %signed
  %size = select i1 %negative, i128 %minus, i128 %signed
  %zeros = call i128 @llvm.ctlz.i128(i128 %size, i1 false)
  %normal = shl i128 %size, %zeros
  %lead = lshr i128 %normal, 64
  %angle = mul i128 %lead, {pi}
  %a1 = lshr i128 %angle, 75
  %a2 = lshr i128 %angle, 22
  %i1 = trunc i128 %a1 to i64
  %i2 = trunc i128 %a2 to i64
  %i3 = and i64 %i2, 9007199254740991
  %d1 = sitofp i64 %i1 to double
  %d2 = sitofp i64 %i3 to double
  %z = trunc i128 %zeros to i64
  %e1 = sub i64 {exponent}, %z
  %e2 = sub i64 %e1, 53
  %b1 = shl i64 %e1, 52
  %b2 = shl i64 %e2, 52
  %f1 = bitcast i64 %b1 to double
  %f2 = bitcast i64 %b2 to double
  %h = fmul double %d1, %f1
  %l = fmul double %d2, %f2
  %hn = fneg double %h
  %ln = fneg double %l
  %hs = select i1 %negative, double %hn, double %h
  %ls = select i1 %negative, double %ln, double %l
  %o0 = insertvalue {{ double, double, i64 }} poison, double %hs, 0
  %o1 = insertvalue {{ double, double, i64 }} %o0, double %ls, 1
  %o2 = insertvalue {{ double, double, i64 }} %o1, i64 %turns, 2
  ret {{ double, double, i64 }} %o2
}}
@isthmus_two_over_pi = internal constant [{count} x i64] [{words}]
"""


def _angle_text() -> str:
    """A word of zeros comes first, for exponents at which no bit of 2/pi can be left out yet.

    With lead the top 64 bits of the fraction of a turn and pi' = pi * 2^62, the angle is
    lead * pi' * 2^(-128 - 62 + 64 + 1 - zeros); the product's upper 53 bits start at bit 75.
    """
    words = (0, *TWO_OVER_PI)
    return _ANGLE.format(
        bias=1075 + 2 - 64,
        half=1 << 61,
        pi=0xC90FDAA22168C235,
        exponent=1023 + 75 + 64 + 1 - 128 - 62,
        count=len(words),
        words=", ".join(f"i64 {word - (1 << 64) if word >> 63 else word}" for word in words),
    )


def fmod(x: Lanes, y: Lanes) -> Lanes:
    """The remainder of truncated division in f64, exact, with the sign of x; NaN for infinite x and zero y."""
    x.scalars.define(_FMOD)
    x.scalars.b.intrinsic("llvm.umin.i64", "i64", ["i64", "i64"])
    x.scalars.b.intrinsic("llvm.copysign.f64", "double", ["double", "double"])
    text = "call double @isthmus_fmod(double {0}, double {1})"
    total = x
    for lane in range(max(1, x.count)):
        part = x.scalars.b.pure("double", text, [x.lane(lane), y.lane(lane)])
        total = total.with_lane(part, lane)
    return total


def mod(x: Lanes, y: Lanes) -> Lanes:
    """As `fmod`, with the sign of y."""
    rest = fmod(x, y)
    other = (rest.bits() ^ y.bits()) < 0
    return choose(rest.equals(0.0), rest.with_sign_of(y), choose(other, rest + y, rest))


def far_angles(a: Lanes, far: Lanes, near: tuple[Lanes, Lanes, Lanes]) -> tuple[Lanes, Lanes, Lanes]:
    """`near`, with the lanes where `far` (finite, from 2) reduced exactly instead.

    Passes through memory: the values of a branch can't leave it otherwise.
    """
    b = a.scalars.b
    cells = [b.alloca(8 * max(1, a.count)) for _ in range(4)]
    for cell, value in zip(cells, (*near, choose(far, a, 4.0)), strict=True):
        b.line(f"store {value.register}, ptr {cell.text}, align 8")

    def reduce() -> None:
        a.scalars.define(_angle_text())
        b.intrinsic("llvm.fshl.i64", "i64", ["i64", "i64", "i64"])
        b.intrinsic("llvm.ctlz.i128", "i128", ["i128", "i1 immarg"])
        for lane in range(max(1, a.count)):
            pointers = [b.here("ptr", f"getelementptr i8, ptr {cell.text}, i64 {8 * lane}") for cell in cells]
            x = b.here("double", f"load double, ptr {pointers[3].text}, align 8")
            outside = b.here("i1", f"fcmp oeq double {x.text}, 4.0")
            angle = b.here(
                "{ double, double, i64 }", f"call {{ double, double, i64 }} @isthmus_angle(double {x.text})"
            )
            for n, (type, pointer) in enumerate(zip(("double", "double", "i64"), pointers[:3], strict=True)):
                new = b.here(type, f"extractvalue {angle}, {n}")
                old = b.here(type, f"load {type}, ptr {pointer.text}, align 8")
                kept = b.here(type, f"select i1 {outside.text}, {old}, {new}")
                b.line(f"store {kept}, ptr {pointer.text}, align 8")

    b.branch(far.any(), reduce)
    out = []
    for cell, dtype in zip(cells, (f64, f64, i64), strict=False):
        type = vector_type("i64" if dtype == i64 else "double", a.count)
        register = b.here(type, f"load {type}, ptr {cell.text}, align 8")
        out.append(Lanes(a.scalars, register, dtype, a.count))
    return out[0], out[1], out[2]

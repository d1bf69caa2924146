// The vector unit. Operands of a vector are fetched, one of each memory a cycle, while the program runs on the one
// before; operands that stay where they are are not fetched again. Sums and extremes over taps of integers go through a
// window that takes TAPS vectors a cycle. Dimensions that are combined run innermost.
module vectors import shell_pkg::*; import isa_pkg::*; import alu_pkg::*; #(
    parameter int LANES = 8,
    parameter int SIDES = 1,     // lines that a vector may hold side by side instead of one long one
    parameter int TAPS = 8,
    parameter int SPECIALS = 2,  // lanes a cycle of special operations
    parameter int TARGETS = 2,   // vectors that the window may complete a cycle
    parameter int ACROSS = 4     // cycles of a vector whose elements lie across the banks
) (
    input logic clk, reset,
    input logic start,
    input work_t given,
    input masks_t masks,
    output logic ready, done,
    output logic [SEMAPHORES-1:0] signals,
    output elements_t [2:0] operand,
    input logic [2:0][LANES-1:0][63:0] operand_data,
    output elements_t [2*TAPS-1:0] window,
    input logic [2*TAPS-1:0][LANES-1:0][63:0] window_data,
    output elements_t target_read,
    input logic [LANES-1:0][63:0] target_data,
    output elements_t [TARGETS-1:0] target,
    output logic [TARGETS-1:0][LANES-1:0][63:0] target_values
);
  typedef logic [LANES-1:0][63:0] vector_t;
  localparam int SETS = 4;  // vectors whose operands are there and wait for the program
  localparam logic [15:0] SPECIAL_CYCLES = LANES / SPECIALS;

  localparam int SHORT = LANES / SIDES;  // lanes of each of the lines that lie side by side

  // ---- programs ---------------------------------------------------------------------------------------------------
  program_t stored[16];
  program_t in_program, program_;
  assign in_program = given.brings ? given.program_ : stored[given.number];
  always_ff @(posedge clk)
    if (start) begin
      if (given.defines) stored[given.number] <= given.program_;
      else program_ <= in_program;
    end

  // ---- the instruction --------------------------------------------------------------------------------------------
  typedef enum logic [1:0] {REST, DEFINED, RUNNING, TAPPED} state_e;
  state_e state;
  view_t [7:0] views;
  logic [3:0] streams;
  logic [1:0] combine;
  logic initialise;
  logic [4:0][15:0] extent;  // of dimensions 0 and 1 in vectors
  logic [15:0] n0, n1;
  logic side_by_side;
  logic [4:0] reduced;
  logic [4:0][2:0] order;    // dimensions, the outermost first
  logic [SEMAPHORES-1:0] held_signals;
  assign ready = state == REST;

  logic [4:0][15:0] in_extent;  // in vectors
  logic in_side_by_side;
  logic [4:0] in_reduced;
  logic [4:0][2:0] in_order;
  always_comb begin
    logic [31:0] in_row, in_lines;
    for (int d = 0; d < 5; d++)
      in_reduced[d] = given.combine != 0 && given.views[0].stride[d] == 0 && given.extent[d] > 1;
    in_row = (32'(given.extent[0]) + LANES - 1) / LANES * 32'(given.extent[1]);
    in_lines = (32'(given.extent[0]) + SHORT - 1) / SHORT * ((32'(given.extent[1]) + SIDES - 1) / SIDES);
    in_side_by_side = SIDES > 1 && in_lines < in_row && !in_reduced[1];
    in_extent = given.extent;
    in_extent[0] = 16'((32'(given.extent[0]) + LANES - 1) / LANES);
    if (in_side_by_side) begin
      in_extent[0] = 16'((32'(given.extent[0]) + SHORT - 1) / SHORT);
      in_extent[1] = 16'((32'(given.extent[1]) + SIDES - 1) / SIDES);
    end
  end

  // Lanes run inside of the other dimensions when more operands stand still along them than along the next dimension.
  logic lanes_inside;
  always_comb begin
    logic [2:0] next;
    logic [3:0] still_along_lanes, still_along_next;
    next = 0;
    for (int d = 4; d > 0; d--) if (!in_reduced[d] && in_extent[d] > 1) next = 3'(d);
    still_along_lanes = 0;
    still_along_next = 0;
    for (int s = 1; s < 8; s++)
      if (4'(s) < given.streams) begin
        still_along_lanes += 4'(given.views[s].stride[0] == 0);
        still_along_next += 4'(given.views[s].stride[next] == 0);
      end
    lanes_inside = still_along_lanes > still_along_next;
  end
  always_comb begin
    logic [2:0] place;
    place = 0;
    in_order = '0;
    if (!in_reduced[0] && !lanes_inside) place = place + 1;
    for (int d = 4; d > 0; d--)
      if (!in_reduced[d]) begin
        in_order[place] = 3'(d);
        place = place + 1;
      end
    if (!in_reduced[0] && lanes_inside) place = place + 1;
    for (int d = 4; d > 0; d--)
      if (in_reduced[d]) begin
        in_order[place] = 3'(d);
        place = place + 1;
      end
  end

  // Integers that are only multiplied and summed, or only compared: those that the window takes.
  micro_t only;
  assign only = in_program.micros[0];
  wire windowed = in_program.length == 1 && only.type_ == TYPE_I32 && given.initialise
      && (only.op == MUL && given.combine == COMBINE_SUM || only.op == COPY && given.combine != 0)
      && given.views[1].memory != INDEX && (given.views[2].memory != INDEX || given.streams < 3);

  // ---- where vectors lie ------------------------------------------------------------------------------------------
  typedef logic [4:0][15:0] index_t;
  typedef struct packed {
    logic first, last, final_;  // of its taps; of the instruction
    logic [31:0] target;
    logic [7:0] count, lines;
  } place_t;

  function automatic logic signed [31:0] displacement(input view_t v, input index_t i);
    logic signed [31:0] sum = signed'(32'(i[0]) * (side_by_side ? SHORT : LANES)) * 32'(v.stride[0]);
    sum += signed'(32'(i[1]) * (side_by_side ? SIDES : 1)) * 32'(v.stride[1]);
    for (int d = 2; d < 5; d++) sum += signed'({16'd0, i[d]}) * 32'(v.stride[d]);
    return sum;
  endfunction

  function automatic logic [31:0] address_of(input view_t v, input index_t i);
    return v.base + 32'(displacement(v, i)) * bytes_of(v.dtype);
  endfunction

  function automatic logic [7:0] at_most(input logic [15:0] rest, input int most);
    return 32'(rest) < most ? 8'(rest) : 8'(most);
  endfunction

  function automatic place_t place_of(input index_t i);
    place_t p;
    p.first = 1;
    p.last = 1;
    p.final_ = 1;
    for (int d = 0; d < 5; d++) begin
      if (reduced[d] && i[d] != 0) p.first = 0;
      if (reduced[d] && i[d] + 1 != extent[d]) p.last = 0;
      if (i[d] + 1 != extent[d]) p.final_ = 0;
    end
    p.target = address_of(views[0], i);
    if (reduced[0]) p.target = address_of(views[0], {i[4:1], 16'd0});
    p.count = side_by_side ? at_most(n0 - i[0] * SHORT, SHORT) : at_most(n0 - i[0] * LANES, LANES);
    p.lines = side_by_side ? at_most(n1 - i[1] * SIDES, SIDES) : 8'd1;
    return p;
  endfunction

  function automatic index_t next_of(input index_t i);
    index_t n = i;
    logic carry = 1;
    for (int k = 4; k >= 0; k--)
      if (carry) begin
        carry = n[order[k]] + 1 == extent[order[k]];
        n[order[k]] = carry ? 0 : n[order[k]] + 1;
      end
    return n;
  endfunction

  function automatic logic across(input view_t v);
    return !v.table_ && v.stride[0] != 0 && v.stride[0] != 1 && n0 > 1;
  endfunction

  function automatic elements_t elements(input view_t v, input logic [31:0] address, input logic [7:0] count, lines);
    return '{valid: 1, side_by_side: side_by_side, memory: v.memory, dtype: v.dtype, address: address, stride: v.stride[0],
             line_stride: v.stride[1], count: count, lines: lines};
  endfunction

  function automatic logic has_lane(input place_t p, input int lane);
    return side_by_side ? 8'(lane % SHORT) < p.count && 8'(lane / SHORT) < p.lines : 8'(lane) < p.count;
  endfunction

  // The lane in which those of a line are combined, where they are.
  function automatic int head_of(input int lane);
    return side_by_side ? lane - lane % SHORT : 0;
  endfunction

  // A lane's element from the first one of its vector.
  function automatic logic signed [31:0] offset(input view_t v, input int lane);
    return side_by_side ? (lane % SHORT) * 32'(v.stride[0]) + (lane / SHORT) * 32'(v.stride[1]) : lane * 32'(v.stride[0]);
  endfunction

  index_t index;
  place_t here;
  always_comb here = place_of(index);

  // ---- fetching operands ------------------------------------------------------------------------------------------
  logic fetching;
  logic [7:0] issued, held;
  logic [7:0][31:0] held_address;
  logic [7:0][31:0] wanted_address;
  logic [7:0] missing, remaining;
  logic [2:0][2:0] picked;
  logic [2:0] picks;
  logic [2:0][3:0] occupied;  // cycles for which a memory's port is taken by elements across the banks
  logic [2:0] occupied_next;
  logic complete;             // with what is asked for now the vector has all its operands
  logic [2:0] count;          // sets that wait
  logic arriving;
  place_t arriving_place;
  index_t arriving_index;
  logic [2:0] arriving_picks;
  logic [2:0][2:0] arriving_picked;

  always_comb begin
    for (int s = 0; s < 8; s++) begin
      wanted_address[s] = address_of(views[s], index);
      missing[s] = s > 0 && 4'(s) < streams && !views[s].table_ && views[s].memory != INDEX && !issued[s]
          && !(held[s] && held_address[s] == wanted_address[s]);
    end
    remaining = missing;
    for (int m = 0; m < 3; m++) begin
      picks[m] = 0;
      picked[m] = 0;
      for (int s = 7; s > 0; s--)
        if (missing[s] && views[s].memory == memory_e'(m)) begin
          picks[m] = fetching && occupied[m] <= 1;
          picked[m] = 3'(s);
        end
      if (picks[m]) remaining[picked[m]] = 0;
      operand[m] = elements(views[picked[m]], wanted_address[picked[m]], here.count, here.lines);
      operand[m].valid = picks[m];
      occupied_next[m] = picks[m] ? ACROSS > 1 && across(views[picked[m]]) : occupied[m] > 2;
    end
    complete = fetching && remaining == 0 && occupied_next == 0 && count + 3'(arriving) < SETS - 1;
  end

  // the operands of the vector that is being fetched, and the sets that are whole
  vector_t [7:0] gathered, gathered_now;
  vector_t [7:0] sets[SETS];
  place_t places[SETS];
  logic [1:0] newest, oldest;
  always_comb begin
    gathered_now = gathered;
    for (int m = 0; m < 3; m++) if (arriving_picks[m]) gathered_now[arriving_picked[m]] = operand_data[m];
    for (int s = 1; s < 8; s++)
      if (views[s].memory == INDEX)
        for (int l = 0; l < LANES; l++)
          gathered_now[s][l] = 64'(signed'(views[s].base + displacement(views[s], arriving_index) + offset(views[s], l)));
  end

  logic pop;
  always_ff @(posedge clk) begin
    arriving <= complete && !reset;
    arriving_place <= here;
    arriving_index <= index;
    arriving_picks <= picks;
    arriving_picked <= picked;
    gathered <= gathered_now;
    if (arriving) begin
      sets[newest] <= gathered_now;
      places[newest] <= arriving_place;
    end
    if (reset) begin
      fetching <= 0;
      occupied <= 0;
      newest <= 0;
      oldest <= 0;
      count <= 0;
    end else begin
      newest <= newest + 2'(arriving);
      oldest <= oldest + 2'(pop);
      count <= count + 3'(arriving) - 3'(pop);
      for (int m = 0; m < 3; m++) begin
        if (occupied[m] != 0) occupied[m] <= occupied[m] - 1;
        if (picks[m]) begin
          occupied[m] <= across(views[picked[m]]) ? ACROSS : 0;
          issued[picked[m]] <= 1;
          held[picked[m]] <= 1;
          held_address[picked[m]] <= wanted_address[picked[m]];
        end
      end
      if (complete) begin
        issued <= 0;
        fetching <= !here.final_;
      end
      if (start && !given.defines) begin
        fetching <= !windowed;
        issued <= 0;
        held <= 0;
      end
    end
  end

  // ---- running the program ----------------------------------------------------------------------------------------
  logic [15:0][LANES-1:0][63:0] registers;
  logic [5:0] at;           // the micro-operation; behind the last one the combination
  logic [15:0] cycle;       // of it
  vector_t found, total;    // what a lookup has found; what is combined so far
  logic [15:0] asked;       // the group of lanes whose elements arrive
  logic asking;
  micro_t micro;
  assign micro = program_.micros[at[4:0]];
  wire running = count != 0 && state == RUNNING;
  wire combining = at == program_.length;
  wire [15:0] duration = combining ? 1 : micro.op == LOOKUP ? SPECIAL_CYCLES + 1 : special(micro.op) ? SPECIAL_CYCLES
      : micro.type_ == TYPE_I64 ? 2 : 1;
  wire ends = running && cycle + 1 == duration;
  wire last_step = combining || (combine == 0 && at + 1 == program_.length);
  wire blocked = last_step && places[oldest].last && !write_ready;
  assign pop = ends && last_step && !blocked;

  function automatic logic [63:0] source(input logic [1:0] from, input logic [3:0] which, input int lane);
    case (from)
      FROM_REGISTER: return registers[which][lane];
      FROM_STREAM: return sets[oldest][which[2:0]][lane];
      FROM_IMMEDIATE: return 64'(signed'(program_.immediates[which]));
      default: return 0;
    endcase
  endfunction

  micro_t last_micro;
  assign last_micro = program_.micros[5'(program_.length-1)];
  wire [1:0] cast_kind = last_micro.to inside {F32, BF16} ? TYPE_F32 : last_micro.to == I64 ? TYPE_I64 : TYPE_I32;
  wire [1:0] result_kind = last_micro.op == CAST ? cast_kind : last_micro.op inside {LT, LE, EQ} ? TYPE_I32 : last_micro.type_;
  vector_t result, totalled, last_value;
  assign last_value = registers[last_micro.dst];
  always_comb begin
    result = '0;
    totalled = '0;
    if (ends && !combining)
      for (int l = 0; l < LANES; l++)
        result[l] = micro.op == LOOKUP ? (l / SPECIALS == LANES / SPECIALS - 1 ? window_data[l%SPECIALS][0] : found[l])
            : compute(micro, source(micro.a_from, micro.a, l), source(micro.b_from, micro.b, l),
                      source(micro.c_from, micro.c, l), source(micro.d_from, micro.d, l), source(micro.e_from, micro.e, l));
    if (ends && combining)
      for (int l = 0; l < LANES; l++)
        if (!reduced[0]) totalled[l] = places[oldest].first ? last_value[l] : combined(combine, result_kind, total[l], last_value[l]);
        else if (has_lane(places[oldest], l))
          totalled[head_of(l)] = places[oldest].first && l == head_of(l) ? last_value[l]
              : combined(combine, result_kind, l == head_of(l) ? total[l] : totalled[head_of(l)], last_value[l]);
  end

  always_ff @(posedge clk) begin
    if (asking) for (int k = 0; k < SPECIALS; k++) found[32'(asked)*SPECIALS+k] <= window_data[k][0];
    asking <= running && !combining && micro.op == LOOKUP && cycle < SPECIAL_CYCLES;
    asked <= cycle;
    if (reset || state != RUNNING) begin
      at <= 0;
      cycle <= 0;
    end else if (running && !(ends && blocked)) begin
      cycle <= ends ? 0 : cycle + 1;
      if (ends) begin
        at <= last_step ? 0 : at + 1;
        if (!combining) registers[micro.dst] <= result;
        else total <= totalled;
      end
    end
  end

  // ---- the window -------------------------------------------------------------------------------------------------
  logic tapping, tapped;     // taps are asked for; their elements arrive
  logic [3:0] spread;        // cycles for which their ports are still taken
  place_t [TAPS-1:0] taps, taps_arrived;
  logic [TAPS-1:0] tap_valid, tap_arrived;
  index_t tap_next;
  logic tap_final;
  micro_t tap_micro;
  assign tap_micro = program_.micros[0];
  view_t tap_a, tap_b, table_view;
  assign table_view = views[micro.b[2:0]];
  logic tap_across;
  always_comb begin
    index_t i;
    logic [2:0] completed;
    tap_a = views[tap_micro.a[2:0]];
    tap_b = views[tap_micro.b[2:0]];
    tap_across = (tap_micro.a_from == FROM_STREAM && across(tap_a)) || (tap_micro.b_from == FROM_STREAM && across(tap_b)) || across(views[0]);
    window = '0;
    tap_valid = '0;
    taps = '0;
    tap_final = 0;
    i = index;
    completed = 0;
    if (tapping && spread <= 1)
      for (int v = 0; v < TAPS; v++)
        if (completed < TARGETS && !tap_final) begin
          taps[v] = place_of(i);
          tap_valid[v] = 1;
          if (tap_micro.a_from == FROM_STREAM) window[2*v] = elements(tap_a, address_of(tap_a, i), taps[v].count, taps[v].lines);
          if (tap_micro.op == MUL && tap_micro.b_from == FROM_STREAM)
            window[2*v+1] = elements(tap_b, address_of(tap_b, i), taps[v].count, taps[v].lines);
          completed = completed + 3'(taps[v].last);
          tap_final = taps[v].final_;
          i = next_of(i);
        end
    tap_next = i;
    if (state == RUNNING && !combining && micro.op == LOOKUP && running && cycle < SPECIAL_CYCLES)
      for (int k = 0; k < SPECIALS; k++)
        window[k] = elements(table_view, address_of(table_view, '0)
            + 32'(source(micro.a_from, micro.a, 32'(cycle) * SPECIALS + k)) * bytes_of(table_view.dtype), 1, 1);
  end

  vector_t tap_total;
  logic [TARGETS-1:0] tap_done;
  vector_t [TARGETS-1:0] tap_result;
  place_t [TARGETS-1:0] tap_place;
  always_ff @(posedge clk) begin
    vector_t sum;
    int unsigned written;
    logic [63:0] value;
    tapped <= tapping && spread <= 1 && !reset;
    taps_arrived <= taps;
    tap_arrived <= tap_valid;
    if (reset) begin
      tapping <= 0;
      spread <= 0;
    end else begin
      if (spread > 1) spread <= spread - 1;
      if (tapping && spread <= 1) begin
        spread <= tap_across ? ACROSS : 0;
        if (tap_final) tapping <= 0;
      end
      if (start && !given.defines) tapping <= windowed;
    end
    tap_done <= '0;
    if (tapped) begin
      sum = tap_total;
      written = 0;
      for (int v = 0; v < TAPS; v++)
        if (tap_arrived[v]) begin
          for (int l = 0; l < LANES; l++)
            if (has_lane(taps_arrived[v], l)) begin
              value = compute(tap_micro,
                  tap_micro.a_from == FROM_STREAM ? window_data[2*v][l] : 64'(signed'(program_.immediates[tap_micro.a])),
                  tap_micro.b_from == FROM_STREAM ? window_data[2*v+1][l] : 64'(signed'(program_.immediates[tap_micro.b])), 0, 0, 0);
              if (reduced[0])
                sum[head_of(l)] = taps_arrived[v].first && l == head_of(l) ? value
                    : combined(combine, TYPE_I32, sum[head_of(l)], value);
              else sum[l] = taps_arrived[v].first ? value : combined(combine, TYPE_I32, sum[l], value);
            end
          if (taps_arrived[v].last) begin
            tap_done[written] <= 1;
            tap_result[written] <= sum;
            tap_place[written] <= taps_arrived[v];
            written = written + 1;
          end
        end
      tap_total <= sum;
    end
  end

  // ---- writing ----------------------------------------------------------------------------------------------------
  logic writing, merged;
  logic [3:0] writing_left;
  vector_t values, merge_values;
  place_t value_place;
  wire merges = combine != 0 && !initialise;
  wire write_now = writing && (!merges || merged);
  wire write_over = write_now && writing_left <= 1;
  wire write_ready = !writing || write_over;
  always_comb begin
    target_read = elements(views[0], value_place.target, value_place.count, value_place.lines);
    target_read.valid = writing && merges && !merged;
    for (int l = 0; l < LANES; l++)
      merge_values[l] = merges ? combined(combine, result_kind, target_data[l], values[l]) : values[l];
    for (int t = 0; t < TARGETS; t++) begin
      target[t] = elements(views[0], tap_place[t].target, reduced[0] ? 8'd1 : tap_place[t].count, tap_place[t].lines);
      target[t].valid = tap_done[t];
      target_values[t] = tap_result[t];
    end
    if (write_now) begin
      target[0] = elements(views[0], value_place.target, value_place.count, value_place.lines);
      target_values[0] = merge_values;
      if (views[0].dtype == BF16)
        for (int l = 0; l < LANES; l++) target_values[0][l] = 64'(rounded_bf16(merge_values[l][31:0]) >> 16);
    end
  end

  always_ff @(posedge clk) begin
    if (reset) begin
      writing <= 0;
      merged <= 0;
    end else begin
      merged <= writing && merges && !merged;
      if (write_now && writing_left > 1) writing_left <= writing_left - 1;
      if (write_over) writing <= 0;
      if (pop && places[oldest].last) begin
        writing <= 1;
        writing_left <= across(views[0]) ? ACROSS : 1;
        values <= combining ? totalled : result;
        value_place <= places[oldest];
        if (reduced[0]) value_place.count <= 1;
      end
    end
  end

  // ---- control ----------------------------------------------------------------------------------------------------
  wire over = state == RUNNING ? write_over && value_place.final_ && !pop
      : state == TAPPED ? !tapping && !tapped && tap_done != 0 : state == DEFINED;
  always_ff @(posedge clk) begin
    done <= over && !reset;
    signals <= held_signals;
    if (complete) index <= next_of(index);
    if (tapping && spread <= 1) index <= tap_next;
    if (reset) state <= REST;
    else if (over) state <= REST;
    if (start) begin
      state <= given.defines ? DEFINED : windowed ? TAPPED : RUNNING;
      held_signals <= masks.signals;
    end
    if (start && !given.defines) begin
      views <= given.views;
      streams <= given.streams;
      combine <= given.combine;
      initialise <= given.initialise;
      n0 <= given.extent[0];
      n1 <= given.extent[1];
      side_by_side <= in_side_by_side;
      extent <= in_extent;
      reduced <= in_reduced;
      order <= in_order;
      index <= '0;
    end
  end
endmodule

// Fetch: a word of 128 bits every issue_cycles, loops run out, steps added, whole instructions handed to their queues.
module fetch import shell_pkg::*; import isa_pkg::*; #(
    parameter int CODE_WORDS = 65536
) (
    input logic clk, reset,
    input timing_t timing,
    input logic [QUEUES-1:0] room,
    input logic drained,
    output logic [QUEUES-1:0] push,
    output logic [5:0] opcode,
    output masks_t masks,
    output logic [LONGEST-1:0][127:0] instruction,
    output logic halted
);
  logic [127:0] code[CODE_WORDS]  /* verilator public_flat_rw */;

  logic [31:0] pc, loop_pc;
  logic [31:0][127:0] line;  // what is stored of the instruction, behind it what it leaves out
  logic [127:0] steps;       // of an instruction without lists
  logic [4:0] collected;     // words of the line that are there
  logic complete;            // the line is an instruction that waits for room in its queue
  logic [15:0] pace;
  logic looping;
  logic [19:0] turn, turns, line_turn;
  logic [7:0] body, left;

  wire [127:0] word = code[pc];
  loop_fields_t loop_;
  header_t stored, header;  // of the word that comes, were it the first; of the instruction that it belongs to
  header_t held;            // of the line
  assign loop_ = word;
  assign stored = loop_.header;
  assign held = header_t'(line[0]);
  assign header = first ? stored : held;
  wire handed = complete && room[queue_of(held.opcode)];
  wire free = !complete || handed;
  wire first = collected == 0;
  wire lists = has_lists(header.opcode);
  wire last = collected == header.words;
  wire [2:0][127:0] left_out = defaults(stored.opcode);
  wire due = pace + 1 >= timing.issue_cycles;

  assign opcode = held.opcode;
  assign masks = '{held.waits, held.signals};
  always_comb begin
    push = '0;
    if (handed) push[queue_of(opcode)] = 1;
  end

  assign instruction = held.stepped ? advanced(line, steps, line_turn) : line[LONGEST-1:0];

  always_ff @(posedge clk) begin
    if (reset) begin
      pc <= 0;
      collected <= 0;
      complete <= 0;
      pace <= 0;
      looping <= 0;
      turn <= 0;
      halted <= 0;
    end else if (!halted) begin
      if (handed) complete <= 0;
      if (free && !due) pace <= pace + 1;
      if (free && due) begin
        pace <= 0;
        if (first && stored.opcode == OP_LOOP) begin
          looping <= 1;
          turn <= 0;
          turns <= loop_.count;
          body <= loop_.length;
          left <= loop_.length;
          loop_pc <= pc + 1;
          pc <= pc + 1;
        end else if (first && (stored.opcode == OP_BARRIER || stored.opcode == OP_HALT)) begin
          if (!complete && drained) begin
            halted <= stored.opcode == OP_HALT;
            pc <= pc + 1;
          end else pace <= pace;
        end else begin
          if (first) begin
            line[2:1] <= left_out[2:1];
            line_turn <= turn;
          end
          if (header.stepped && !lists && last) steps <= word;
          else line[collected] <= word;
          collected <= last ? 0 : collected + 1;
          complete <= last;
          pc <= pc + 1;
          if (last && looping) begin
            left <= left - 1;
            if (left == 1) begin
              left <= body;
              turn <= turn + 1;
              if (turn + 1 < turns) pc <= loop_pc;
              else begin
                looping <= 0;
                turn <= 0;
              end
            end
          end
        end
      end
    end
  end
endmodule

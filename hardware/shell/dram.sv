// DRAM: channels that each transfer a burst at a time for one of three masters in turn, a page a master open in each,
// all of them closed by refresh. Each channel has a queue for each master, so that one that is busy holds up no other.
// The bytes themselves are kept by the harness.
module dram import shell_pkg::*; #(
    parameter int MASTERS = 3,
    parameter int CHANNELS = 4,
    parameter int BURST = 64,
    parameter int SLOT_BITS = 5
) (
    input logic clk, reset,
    input timing_t timing,
    input logic [MASTERS-1:0] request, is_write,
    input logic [MASTERS-1:0][31:0] address,
    input logic [MASTERS-1:0][SLOT_BITS-1:0] slot,
    input logic [MASTERS-1:0][8*BURST-1:0] data,
    input logic [MASTERS-1:0][BURST-1:0] mask,
    output logic [MASTERS-1:0] taken,
    // bursts that begin to arrive, or writes that are done, one a channel
    output logic [CHANNELS-1:0] answer,
    output logic [CHANNELS-1:0][1:0] answer_master,
    output logic [CHANNELS-1:0][SLOT_BITS-1:0] answer_slot,
    output logic [CHANNELS-1:0][8*BURST-1:0] answer_data
);
  import "DPI-C" function void dram_read(input int address, output bit [8*BURST-1:0] data);
  import "DPI-C" function void dram_write(input int address, input bit [8*BURST-1:0] data, input bit [BURST-1:0] mask);

  localparam int FLIGHT = 64;
  localparam int QUEUED = 8;
  typedef struct packed {
    logic [31:0] address;
    logic [SLOT_BITS-1:0] slot;
    logic [8*BURST-1:0] data;
    logic [BURST-1:0] mask;
  } request_t;
  typedef struct packed {
    logic [31:0] due;
    logic [1:0] master;
    logic [SLOT_BITS-1:0] slot;
    logic [8*BURST-1:0] data;
  } flight_t;

  logic [31:0] now;
  logic [15:0] phase;
  wire refreshing = timing.refresh_every != 0 && phase >= timing.refresh_every - timing.refresh_for;
  logic [MASTERS-1:0][CHANNELS-1:0] accepted;
  always_comb for (int m = 0; m < MASTERS; m++) taken[m] = |accepted[m];

  always_ff @(posedge clk) begin
    if (reset) begin
      now <= 0;
      phase <= 0;
    end else begin
      now <= now + 1;
      phase <= 32'(phase) + 1 == 32'(timing.refresh_every) ? 0 : phase + 1;
    end
  end

  for (genvar c = 0; c < CHANNELS; c++) begin : channel
    flight_t flights[FLIGHT];
    logic [5:0] head, tail;
    logic [6:0] count;
    logic [15:0] left;         // cycles for which the channel is occupied, this one included
    logic [1:0] turn;          // the master that is asked first
    logic [MASTERS-1:0] open;
    logic [MASTERS-1:0][31:0] page;
    logic [MASTERS-1:0] mine;
    logic [1:0] chosen;
    logic found, miss;
    logic [31:0] wanted;
    bit [8*BURST-1:0] bytes;

    request_t heads[MASTERS];
    logic [MASTERS-1:0] room, grant;
    for (genvar m = 0; m < MASTERS; m++) begin : master
      wire here = 32'(c) < 32'(timing.channels) && (timing.channels == 1
          || 32'(c) == (address[m] / timing.interleave) % 32'(timing.channels));
      assign accepted[m][c] = request[m] && here && room[m];
      queue #(.WIDTH($bits(request_t)), .MOST(QUEUED)) requests (
          .clk, .reset, .depth(16'(QUEUED)), .push(accepted[m][c]), .pop(grant[m]),
          .in({address[m], slot[m], data[m], mask[m]}), .out(heads[m]), .valid(mine[m]), .room(room[m])
      );
    end

    wire idle = left <= 1;
    request_t oldest;
    always_comb begin
      found = 0;
      chosen = 0;
      for (int n = 0; n < MASTERS; n++)
        if (!found && mine[(32'(turn)+n)%MASTERS]) begin
          found = 1;
          chosen = 2'((32'(turn) + n) % MASTERS);
        end
      oldest = heads[chosen];
      wanted = oldest.address / (timing.page * 32'(timing.channels));
      miss = !open[chosen] || page[chosen] != wanted;
      for (int m = 0; m < MASTERS; m++)
        grant[m] = found && idle && !refreshing && 16'(count) < timing.outstanding && chosen == 2'(m);
    end

    assign answer[c] = count != 0 && flights[head].due <= now;
    assign answer_master[c] = flights[head].master;
    assign answer_slot[c] = flights[head].slot;
    assign answer_data[c] = flights[head].data;

    wire granted = found && idle && !refreshing && 16'(count) < timing.outstanding;
    // a copy takes a burst off at the rate of all channels: it may begin when it will not run ahead of the last byte
    wire [15:0] lag = is_write[chosen] ? timing.burst_cycles : timing.burst_cycles - timing.burst_cycles / timing.channels;

    always_ff @(posedge clk) begin
      if (reset) begin
        head <= 0;
        tail <= 0;
        count <= 0;
        left <= 0;
        turn <= 0;
        open <= 0;
      end else begin
        if (left != 0) left <= left - 1;
        if (refreshing) open <= 0;
        if (granted) begin
          left <= timing.burst_cycles + (miss ? timing.page_miss : 0);
          open[chosen] <= 1;
          page[chosen] <= wanted;
          turn <= chosen == 2'(MASTERS - 1) ? 0 : chosen + 1;
          if (is_write[chosen]) dram_write(oldest.address, oldest.data, oldest.mask);
          else dram_read(oldest.address, bytes);
          flights[tail] <= '{due: now + 32'(timing.latency) + 32'(lag) + (miss ? 32'(timing.page_miss) : 0),
                             master: chosen, slot: oldest.slot, data: bytes};
          tail <= tail + 1;
        end
        if (answer[c]) head <= head + 1;
        count <= count + 7'(granted) - 7'(answer[c]);
      end
    end
  end
endmodule

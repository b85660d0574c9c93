-- Wireshark dissector for DTU frames and messages, version 1 (frame.md, session.md), over TCP and UDP.
-- Wireshark or tshark 4.0 and later.
--
-- Install: copy this file into the folder that Help > About Wireshark > Folders calls "Personal Lua Plugins", or load
--   it for one run:   tshark -X lua_script:dtu.lua -r capture.pcap
-- Ports:   the protocol has no port of its own. The default here is 55125 (D7 55, the magic), for TCP and UDP; change it
--   under Preferences > Protocols > DTU or with   -o dtu.ports:"55125,7000-7010"
--   On other ports a connection is recognised by its first segment that begins with a sound frame header, a datagram
--   by being one whole frame. Where the first bytes are dirt: Decode As, or   -d tcp.port==9000,dtu
-- Filter:  dtu.kind == 6 && dtu.seq > 100      dtu.skipped.cause == "checksum"      dtu.error
--
-- A TCP stream is walked as a receiver walks it (frame.md, Resynchronisation): what belongs to no frame is an item of
-- its own with an expert info. So a false header hides what follows until the bytes it claims have come; the preference
-- "Limit" makes that shorter. A segment of one byte that is sent again looks to Wireshark like a
-- keep-alive of TCP; what stands around it may be shown as damaged.

local dtu = Proto("dtu", "DTU")

dtu.prefs.ports = Pref.range("Ports", "55125", "TCP and UDP ports on which everything is taken for DTU", 65535)
dtu.prefs.limit = Pref.uint("Limit", 65535, "Longest payload that the receiver allows, in bytes")

local REFUSE_CODES = { [1] = "PROTOCOL", [2] = "UNAUTHORIZED", [3] = "BUSY" }
local CLOSE_CODES = { [0] = "DONE", [1] = "PROTOCOL", [2] = "GOING_DOWN", [3] = "TIMED_OUT", [4] = "REPLACED" }
local KINDS = {
    [0x01] = "REGISTER", [0x02] = "WELCOME", [0x03] = "REFUSE", [0x04] = "PING", [0x05] = "PONG", [0x06] = "DATA",
    [0x07] = "ACK", [0x08] = "CLOSE", [0x09] = "CHALLENGE", [0x0A] = "PROOF", [0x0B] = "SKIP",
}

local f = {
    -- The frame.
    magic = ProtoField.uint16("dtu.magic", "Magic", base.HEX),
    length = ProtoField.uint16("dtu.length", "Payload length"),
    guard = ProtoField.uint16("dtu.guard", "Guard", base.HEX),
    payload = ProtoField.bytes("dtu.payload", "Payload"),
    checksum = ProtoField.uint32("dtu.checksum", "Checksum", base.HEX),
    -- What belongs to no frame.
    skipped = ProtoField.bytes("dtu.skipped", "Skipped"),
    skipped_length = ProtoField.uint32("dtu.skipped.length", "Skipped bytes"),
    skipped_cause = ProtoField.string("dtu.skipped.cause", "Cause"),
    -- The message.
    udp_stream = ProtoField.uint64("dtu.udp_stream", "Session's stream", base.HEX),
    kind = ProtoField.uint8("dtu.kind", "Kind", base.HEX, KINDS),
    version = ProtoField.uint8("dtu.version", "Version"),
    flags = ProtoField.uint8("dtu.flags", "Flags", base.HEX),
    device_id = ProtoField.string("dtu.device_id", "Device id", base.UNICODE),
    token = ProtoField.bytes("dtu.token", "Token"),
    stream = ProtoField.uint64("dtu.stream", "Stream", base.HEX),
    send_base = ProtoField.uint32("dtu.send_base", "Send base"),
    peer_stream = ProtoField.uint64("dtu.peer_stream", "Peer's stream", base.HEX),
    receive_next = ProtoField.uint32("dtu.receive_next", "Receive next"),
    heartbeat_ms = ProtoField.uint32("dtu.heartbeat_ms", "Heartbeat, ms"),
    window = ProtoField.uint16("dtu.window", "Window"),
    refuse_code = ProtoField.uint8("dtu.refuse_code", "Code", base.DEC, REFUSE_CODES),
    close_code = ProtoField.uint8("dtu.close_code", "Code", base.DEC, CLOSE_CODES),
    retry_after_ms = ProtoField.uint32("dtu.retry_after_ms", "Retry after, ms"),
    reason = ProtoField.string("dtu.reason", "Reason", base.UNICODE),
    nonce = ProtoField.uint64("dtu.nonce", "Nonce", base.HEX),
    seq = ProtoField.uint32("dtu.seq", "Sequence number"),
    channel = ProtoField.uint8("dtu.channel", "Channel"),
    body = ProtoField.bytes("dtu.body", "Body"),
    challenge = ProtoField.bytes("dtu.challenge", "Nonce"),
    mac = ProtoField.bytes("dtu.mac", "MAC"),
    next = ProtoField.uint32("dtu.next", "Next"),
    error = ProtoField.string("dtu.error", "Malformed message"),
    error_field = ProtoField.string("dtu.error.field", "Field"),
}
dtu.fields = f

local function expert_info(name, text, group, severity)
    return ProtoExpert.new("dtu.expert." .. name, text, group, severity)
end
local e = {
    magic = expert_info("magic", "No frame starts here", expert.group.MALFORMED, expert.severity.NOTE),
    length_guard = expert_info("length_guard", "Length and guard differ", expert.group.CHECKSUM, expert.severity.ERROR),
    over_limit = expert_info("over_limit", "Length over the limit", expert.group.PROTOCOL, expert.severity.WARN),
    checksum = expert_info("checksum", "Bad checksum", expert.group.CHECKSUM, expert.severity.ERROR),
    abandoned = expert_info("abandoned", "Frame without its end", expert.group.MALFORMED, expert.severity.WARN),
    datagram = expert_info("datagram", "Datagram is not one whole frame", expert.group.MALFORMED, expert.severity.ERROR),
    message = expert_info("message", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR),
    unknown_kind = expert_info("unknown_kind", "Unknown kind of message", expert.group.UNDECODED, expert.severity.NOTE),
}
dtu.experts = e

---------------------------------------------------------------------------------------------------- checksum

-- Lua 5.2 has bit32, Lua 5.3 and later have operators that 5.2 cannot parse.
local bxor, rshift
if bit32 then
    bxor, rshift = bit32.bxor, bit32.rshift
else
    bxor = load("return function(a, b) return a ~ b end")()
    rshift = load("return function(a, n) return a >> n end")()
end

local CRC_TABLE = {}
for byte = 0, 255 do
    local register = byte
    for _ = 1, 8 do
        local low = register % 2
        register = rshift(register, 1)
        if low == 1 then register = bxor(register, 0x82F63B78) end
    end
    CRC_TABLE[byte] = register
end

-- CRC-32C over data[first..last], positions from 1.
local function crc32c(data, first, last)
    local register = 0xFFFFFFFF
    for at = first, last do
        register = bxor(CRC_TABLE[bxor(register % 256, data:byte(at))], rshift(register, 8))
    end
    return bxor(register, 0xFFFFFFFF)
end

local function u16(data, at)
    local high, low = data:byte(at, at + 1)
    return high * 256 + low
end

------------------------------------------------------------------------------------------------ frames (frame.md)

local MAGIC, HEADER_LEN, CHECKSUM_LEN = "\xD7\x55", 6, 4

-- Judges the candidate at position `at` (from 1). Returns "frame" and its length, "wait", or the cause of its
-- rejection, how many bytes were judged (R-2), and a text.
local function judge(data, at)
    local there = #data - at + 1
    if data:sub(at, at + 1) ~= MAGIC:sub(1, there) then return "magic", there end
    if there < HEADER_LEN then return "wait" end
    local length, guard = u16(data, at + 2), u16(data, at + 4)
    if length + guard ~= 0xFFFF then
        return "length_guard", HEADER_LEN, string.format("length %04x, guard %04x", length, guard)
    end
    if length > dtu.prefs.limit then
        return "over_limit", HEADER_LEN, string.format("length %d, limit %d", length, dtu.prefs.limit)
    end
    local total = HEADER_LEN + length + CHECKSUM_LEN
    if there < total then return "wait" end
    local stop = at + total - CHECKSUM_LEN
    local computed, found = crc32c(data, at, stop - 1), u16(data, stop) * 65536 + u16(data, stop + 2)
    if computed ~= found then
        return "checksum", total, string.format("computed %08x, found %08x", computed, found)
    end
    return "frame", total
end

-- How many bytes a rejection skips, by R-3.
local function skipped(data, at, judged)
    local last = at + judged - 1
    local start = data:find(MAGIC, at + 1, true)
    if start and start < last then return start - at end
    if judged > 1 and data:byte(last) == 0xD7 then return judged - 1 end
    return judged
end

-- Returns the steps over `data`, and the position of the candidate that waits for bytes, if one does.
local function walk(data)
    local steps, at = {}, 1
    while at <= #data do
        local verdict, len, text = judge(data, at)
        if verdict == "wait" then return steps, at end
        if verdict ~= "frame" then len = skipped(data, at, len) end
        local last = steps[#steps]
        if verdict == "magic" and last and last.verdict == "magic" then
            last.len = last.len + len
        else
            steps[#steps + 1] = { verdict = verdict, at = at, len = len, text = text }
        end
        at = at + len
    end
    return steps, nil
end

---------------------------------------------------------------------------------------------- messages (session.md)

-- How many bytes of `text` are UTF-8 by RFC 3629.
local function valid_utf8(text)
    local at = 1
    while at <= #text do
        local first, second = text:byte(at, at + 1)
        local more, low, high = 0, 0x80, 0xBF
        if first >= 0xC2 and first <= 0xDF then more = 1
        elseif first >= 0xE0 and first <= 0xEF then more = 2
        elseif first >= 0xF0 and first <= 0xF4 then more = 3
        elseif first >= 0x80 then return at - 1 end
        if first == 0xE0 then low = 0xA0 elseif first == 0xED then high = 0x9F end
        if first == 0xF0 then low = 0x90 elseif first == 0xF4 then high = 0x8F end
        if more > 0 and not (second and second >= low and second <= high) then return at - 1 end
        for behind = at + 2, at + more do
            local byte = text:byte(behind)
            if not (byte and byte >= 0x80 and byte <= 0xBF) then return at - 1 end
        end
        at = at + 1 + more
    end
    return #text
end

-- Field types: a number of bytes, "text" and "bytes" (counted), "rest".
local RESUME = { { "stream", 8 }, { "send_base", 4 }, { "peer_stream", 8 }, { "receive_next", 4 } }
local function with_resume(fields)
    for _, field in ipairs(RESUME) do fields[#fields + 1] = field end
    return fields
end
local LAYOUTS = {
    [0x01] = with_resume({ { "version", 1 }, { "flags", 1 }, { "device_id", "text", 1, 64 }, { "token", "bytes", 0, 255 } }),
    [0x02] = with_resume({ { "heartbeat_ms", 4 }, { "window", 2 } }),
    [0x03] = { { "code", 1, as = "refuse_code" }, { "retry_after_ms", 4 }, { "reason", "text", 0, 255 } },
    [0x04] = { { "nonce", 8 } },
    [0x05] = { { "nonce", 8 } },
    [0x06] = { { "seq", 4 }, { "channel", 1 }, { "body", "rest" } },
    [0x07] = { { "receive_next", 4 } },
    [0x08] = { { "code", 1, as = "close_code" }, { "reason", "text", 0, 255 } },
    [0x09] = { { "nonce", 16, as = "challenge" } },
    [0x0A] = { { "mac", 32 } },
    [0x0B] = { { "next", 4 } },
}

local function malformed(tree, range, name, field, text)
    local item = tree:add(f.error, range, name)
    if field then item:add(f.error_field, range, field) end
    item:add_proto_expert_info(e.message, "Malformed message: " .. text)
    return "malformed"
end

-- Adds one field and returns where the next one stands, or nil and "malformed".
local function add_field(tvb, tree, at, stop, field)
    local name, type, item = field[1], field[2], f[field.as or field[1]]
    local function cut(from, needed)
        local text = string.format("%s takes %d bytes of which %d are there", name, needed, stop - from)
        return nil, malformed(tree, tvb(from, stop - from), "truncated", name, text)
    end
    if type == "rest" then
        tree:add(item, tvb(at, stop - at))
        return stop
    elseif type == "text" or type == "bytes" then
        if at >= stop then return cut(at, 1) end
        local count = tvb(at, 1):uint()
        if count > stop - at - 1 then return cut(at + 1, count) end
        local range, value = tvb(at, count + 1), tvb:raw(at + 1, count)
        if type == "bytes" then
            tree:add(item, tvb(at + 1, count))
        else
            local valid = valid_utf8(value)
            if valid < count then
                local text = name .. " is not UTF-8 from byte " .. valid .. " on"
                return nil, malformed(tree, range, "not_utf8", name, text)
            end
            -- Wireshark ends a text at its first NUL, so that one is shown as its symbol.
            tree:add(item, range, (value:gsub("\0", "\xE2\x90\x80")))
        end
        if count < field[3] or count > field[4] then
            return nil, malformed(tree, range, "length", name, name .. " has " .. count .. " bytes")
        end
        return at + 1 + count
    end
    if stop - at < type then return cut(at, type) end
    tree:add(item, tvb(at, type))
    return at + type
end

-- Adds the message at offsets `at` to `stop` of `tvb`; returns a text for the Info column.
local function add_message(tvb, tree, at, stop)
    if at == stop then return malformed(tree, tvb(at, 0), "truncated", "kind", "the payload is empty") end
    local kind = tvb(at, 1):uint()
    local item = tree:add(f.kind, tvb(at, 1))
    local start = at
    at = at + 1
    local layout = LAYOUTS[kind]
    if not layout then
        item:add_proto_expert_info(e.unknown_kind)
        tree:add(f.body, tvb(at, stop - at))
        return string.format("kind %02x", kind)
    end
    for _, field in ipairs(layout) do
        local fault
        at, fault = add_field(tvb, tree, at, stop, field)
        if not at then return KINDS[kind] .. " " .. fault end
    end
    if at < stop then
        local text = (stop - at) .. " bytes left over"
        return KINDS[kind] .. " " .. malformed(tree, tvb(at, stop - at), "trailing", nil, text)
    end
    if kind == 0x06 then
        local seq, channel = tvb(start + 1, 4):uint(), tvb(start + 5, 1):uint()
        return string.format("DATA %d, channel %d, %d bytes", seq, channel, stop - start - 6)
    end
    if kind == 0x07 then return "ACK " .. tvb(start + 1, 4):uint() end
    if kind == 0x01 then return "REGISTER " .. tvb:raw(start + 4, tvb(start + 3, 1):uint()) end
    return KINDS[kind]
end

---------------------------------------------------------------------------------------------------- dissection

local function append_info(pinfo, text)
    pinfo.cols.info:append((tostring(pinfo.cols.info) == "" and "" or " | ") .. text)
end

-- Adds the frame at offset `at`, `len` bytes long. Over UDP a stream stands before the message.
local function add_frame(tvb, pinfo, tree, at, len, over_udp)
    local stop = at + len - CHECKSUM_LEN
    local title = string.format("DTU frame, %d bytes of payload", len - HEADER_LEN - CHECKSUM_LEN)
    local item = tree:add(dtu, tvb(at, len), title)
    item:add(f.magic, tvb(at, 2))
    item:add(f.length, tvb(at + 2, 2))
    item:add(f.guard, tvb(at + 4, 2)):append_text(" [correct]")
    at = at + HEADER_LEN
    local payload = item:add(f.payload, tvb(at, stop - at))
    item:add(f.checksum, tvb(stop, CHECKSUM_LEN)):append_text(" [correct]")
    local text
    if over_udp and stop - at < 8 then
        text = malformed(payload, tvb(at, stop - at), "truncated", "udp_stream", "no room for the session's stream")
    else
        if over_udp then
            payload:add(f.udp_stream, tvb(at, 8))
            at = at + 8
        end
        text = add_message(tvb, payload, at, stop)
    end
    item:append_text(": " .. text)
    append_info(pinfo, text)
end

local function add_skip(tvb, pinfo, tree, at, len, cause, text)
    local item = tree:add(dtu, tvb(at, len), string.format("DTU: %d bytes skipped, %s", len, cause))
    item:add(f.skipped, tvb(at, len))
    item:add(f.skipped_length, tvb(at, len), len)
    item:add(f.skipped_cause, tvb(at, len), cause)
    if text then
        item:add_proto_expert_info(e[cause], cause .. ": " .. text)
    else
        item:add_proto_expert_info(e[cause])
    end
    append_info(pinfo, string.format("[%d skipped: %s]", len, cause))
end

local tcp_len = Field.new("tcp.len")

-- How many bytes at the front of `tvb` came in earlier segments.
local function from_earlier_segments(tvb)
    local all = { tcp_len() }
    local last = all[#all]
    return last and math.max(0, tvb:len() - last.value) or 0
end

-- The steps shown on the first visit of a packet that ended in a waiting candidate, by packet number. When Wireshark
-- comes back to it, the bytes from the candidate on may be missing, and the verdicts before it may have rested on them.
local shown = {}
function dtu.init() shown = {} end

local function shown_before(tvb, pinfo)
    for _, record in ipairs(shown[pinfo.number] or {}) do
        local same_length = tvb:len() == record.stop or tvb:len() == record.len
        if same_length and tvb:raw(0, #record.first) == record.first then return record end
    end
end

local function dissect_stream(tvb, pinfo, tree)
    local whole = tvb:len() == tvb:reported_len()
    local record = pinfo.visited and shown_before(tvb, pinfo)
    local steps, waiting
    if record then
        steps, waiting = record.steps, tvb:len() > record.stop and record.stop + 1 or nil
    else
        steps, waiting = walk(tvb:raw())
    end
    local deferred = waiting and whole and pinfo.can_desegment > 0
    if deferred then
        -- When the search, after a rejection, waits at a place that came in an earlier segment, Wireshark asks again
        -- for everything from its beginning; what were shown now would be shown twice.
        local earlier = from_earlier_segments(tvb)
        pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
        pinfo.desegment_offset = (earlier > 0 and waiting - 1 <= earlier) and 0 or waiting - 1
        if pinfo.desegment_offset == 0 then return tvb:len() end
        if not pinfo.visited then
            local stop = waiting - 1
            shown[pinfo.number] = shown[pinfo.number] or {}
            local first = tvb:raw(0, math.min(stop, 64))
            table.insert(shown[pinfo.number], { steps = steps, stop = stop, len = tvb:len(), first = first })
        end
    end
    pinfo.cols.protocol = "DTU"
    pinfo.cols.info:clear()
    for _, step in ipairs(steps) do
        if step.verdict == "frame" then
            add_frame(tvb, pinfo, tree, step.at - 1, step.len, false)
        else
            add_skip(tvb, pinfo, tree, step.at - 1, step.len, step.verdict, step.text)
        end
    end
    if waiting and not deferred then
        local text = whole and "reassembly is switched off" or "the capture does not hold the whole packet"
        add_skip(tvb, pinfo, tree, waiting - 1, tvb:len() - waiting + 1, "abandoned", text)
    end
    pinfo.cols.info:fence()
    return tvb:len()
end

local function dissect_datagram(tvb, pinfo, tree)
    pinfo.cols.protocol = "DTU"
    pinfo.cols.info:clear()
    local verdict, len, text = judge(tvb:raw(), 1)
    if verdict == "frame" and len == tvb:len() then
        add_frame(tvb, pinfo, tree, 0, len, true)
    else
        if verdict == "frame" then text = "bytes behind the frame" end
        local cause = (verdict == "wait" or verdict == "frame") and "abandoned" or verdict
        add_skip(tvb, pinfo, tree, 0, tvb:len(), cause, text)
        tree:add_proto_expert_info(e.datagram)
    end
    return tvb:len()
end

local UDP = 3 -- pinfo.port_type of UDP; TCP is 2

function dtu.dissector(tvb, pinfo, tree)
    if tvb:len() == 0 then return 0 end
    return (pinfo.port_type == UDP and dissect_datagram or dissect_stream)(tvb, pinfo, tree)
end

-- A sound header is taken for DTU: 32 bits fit by chance in one of 4 295 million segments.
local function begins_with_header(tvb)
    if tvb:len() < HEADER_LEN then return false end
    local data = tvb:raw(0, HEADER_LEN)
    return data:sub(1, 2) == MAGIC and u16(data, 3) + u16(data, 5) == 0xFFFF
end

dtu:register_heuristic("tcp", function(tvb, pinfo, tree)
    if not begins_with_header(tvb) then return false end
    pinfo.conversation = dtu
    dissect_stream(tvb, pinfo, tree)
    return true
end)

dtu:register_heuristic("udp", function(tvb, pinfo, tree)
    if not begins_with_header(tvb) or tvb(2, 2):uint() + HEADER_LEN + CHECKSUM_LEN ~= tvb:len() then return false end
    dissect_datagram(tvb, pinfo, tree)
    return true
end)

local TABLES = { DissectorTable.get("tcp.port"), DissectorTable.get("udp.port") }
local ports
local function register_ports()
    for _, table in ipairs(TABLES) do
        if ports then table:remove(ports, dtu) end
        table:add(dtu.prefs.ports, dtu)
    end
    ports = dtu.prefs.ports
end
register_ports()
dtu.prefs_changed = register_ports

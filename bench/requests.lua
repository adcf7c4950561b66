-- Sends the raw requests of a file in turn, parted by lines of "%%": wrk -s requests.lua URL -- FILE
local requests, at = {}, 0

function init(args)
    local file = assert(io.open(args[1], "rb"))
    local text = file:read("*a")
    file:close()
    for one in text:gmatch("(.-)\n%%%%\n") do
        requests[#requests + 1] = one
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

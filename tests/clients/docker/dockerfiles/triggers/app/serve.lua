local socket = require("socket")
local server = assert(socket.bind("0.0.0.0", 8000))
while true do
    local client = server:accept()
    client:receive()
    client:send("HTTP/1.0 200 OK\r\n\r\nserved by lua, of another image\n")
    client:close()
end

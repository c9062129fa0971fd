use HTTP::Daemon;
use HTTP::Response;

my $daemon = HTTP::Daemon->new(LocalAddr => "0.0.0.0", LocalPort => 8000, ReuseAddr => 1) or die;
while (my $client = $daemon->accept) {
    $client->get_request;
    $client->send_response(HTTP::Response->new(200, "OK", [], "served by perl\n"));
    $client->close;
}

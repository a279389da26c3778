// What the disk can do, and what a careful program does with it today:
//   raw      one preallocated file, write and fdatasync a record: the limit
//   careful  temporary file, write, fsync, rename, fsync of the folder; plaintext

#include "figures.hpp"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <random>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace {

void require(bool good, const char* what)
{
    if (good)
        return;
    std::perror(what);
    std::exit(1);
}

void write_all(int file, const std::vector<char>& data)
{
    require(::write(file, data.data(), data.size()) == static_cast<ssize_t>(data.size()), "write");
}

template <class Write>
std::vector<double> timed(std::size_t records, Write write)
{
    std::vector<double> out;
    for (std::size_t i = 0; i < records; ++i) {
        const auto from = std::chrono::steady_clock::now();
        write(i);
        out.push_back(titip::bench::seconds{std::chrono::steady_clock::now() - from}.count() * 1e3);
    }
    return out;
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"titip-disk measures durable writes"};
    std::string method;
    std::string folder;
    std::size_t records = 200;
    std::size_t size_bytes = 1'000'000;
    app.add_option("method", method)->required()->check(CLI::IsMember({"raw", "careful"}));
    app.add_option("--folder", folder)->required();
    app.add_option("--records", records);
    app.add_option("--size-bytes", size_bytes);
    CLI11_PARSE(app, argc, argv);

    std::vector<char> data(size_bytes);
    std::independent_bits_engine<std::mt19937_64, 8, unsigned char> random;
    std::generate(data.begin(), data.end(), std::ref(random));

    std::vector<double> latencies;
    std::chrono::steady_clock::time_point from;
    if (method == "raw") {
        const auto name = folder + "/raw";
        const int file = ::open(name.c_str(), O_RDWR | O_CREAT, 0600);
        require(file >= 0, "open");
        for (std::size_t i = 0; i < records;
             ++i) // written, not only allocated: the limit overwrites
            write_all(file, data);
        require(::fsync(file) == 0 && ::lseek(file, 0, SEEK_SET) == 0, "fsync");
        from = std::chrono::steady_clock::now();
        latencies = timed(records, [&](std::size_t) {
            write_all(file, data);
            require(::fdatasync(file) == 0, "fdatasync");
        });
    } else {
        const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
        require(directory >= 0, "open");
        from = std::chrono::steady_clock::now();
        latencies = timed(records, [&](std::size_t i) {
            const auto name = folder + "/" + std::to_string(i);
            const int file = ::open((name + ".new").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
            require(file >= 0, "open");
            write_all(file, data);
            require(::fsync(file) == 0 && ::close(file) == 0, "fsync");
            require(::rename((name + ".new").c_str(), name.c_str()) == 0 && ::fsync(directory) == 0,
                    "rename");
        });
    }
    titip::bench::print(std::move(latencies), std::chrono::steady_clock::now() - from,
                        records * size_bytes);
}
